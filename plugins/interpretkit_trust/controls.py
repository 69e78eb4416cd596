"""Maps that know nothing of the network: what an attribution method has to beat."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from interpretkit import Figure, Needs, Result, StepError, Targeted, Visualizer, figures
from interpretkit_trust.edges import middle, sobel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interpretkit import Captured

_INPUT = "input"


class Control(Visualizer):
    """A map at the pixels of the input that does not depend on the network, and says of each target the same."""

    title: ClassVar[str]
    """What figures call it."""

    requires = "images in two dimensions"
    yields = "attribution"
    polarity = "unsigned"

    class Options(Targeted):
        """What it stands beside: scores that need a target take it from here."""

    options: Options

    def needs(self) -> Needs:
        """Ask for the target."""
        return Needs(target=self.options.target)

    def compute(self, captured: Captured) -> Result:
        """Return one map `(image, y, x)`.

        Raises:
            StepError: If the images are signals or volumes.
        """
        import torch

        if captured.inputs.ndim != 4:  # noqa: PLR2004 - image, channel, y, x
            raise StepError(f"{self.name} is of images (y, x), not of inputs {figures.shape(captured.inputs.shape)}")
        maps = np.stack([self.map(captured, position) for position in range(len(captured.images))])
        values = torch.from_numpy(maps.astype(np.float32))
        return Result(maps={_INPUT: captured.map(_INPUT, values, polarity="unsigned")})

    @abstractmethod
    def map(self, captured: Captured, position: int) -> np.ndarray:
        """Return the map of one image, `(y, x)`."""

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the photo, the map over it, and the map."""
        (image,), each = result.images, result.maps[_INPUT]
        values = each.values[0]
        title = f"{self.title}, whatever the network"
        yield Figure(
            name=_INPUT,
            picture=figures.attribution(values, image.pixels, title=title, polarity="unsigned", grid=each.grid),
            caption=f"{title}. {figures.described(values, polarity='unsigned', grid=each.grid)}",
            alt=figures.alt(values, what=title),
        )


class RandomMap(Control):
    """A map of random numbers, uniform from 0 to 1 and independent from pixel to pixel: what chance brings."""

    name = "random_map"
    title = "Random map"
    cost = "nothing beyond the shared forward pass"

    class Options(Control.Options):
        """Which random numbers."""

        seed: int = Field(default=0, ge=0, description="chooses the random numbers of each image")

    options: Options

    def map(self, captured: Captured, position: int) -> np.ndarray:
        """Return random numbers, `(y, x)`."""
        generator = np.random.default_rng(captured.seed(position, self.options.seed))
        return generator.random(tuple(captured.inputs.shape[2:]))


class EdgeMap(Control):
    """The edges of the image: the magnitude of its Sobel gradient, of what the network is fed."""

    name = "edge_map"
    title = "Sobel edges"
    citations: ClassVar = {"adebayo2018sanity": "an edge detector beside attribution methods"}

    def map(self, captured: Captured, position: int) -> np.ndarray:
        """Return the magnitude of the gradient of the mean over the channels, `(y, x)`."""
        return sobel(captured.inputs[position].detach().movedim(0, -1).cpu().numpy())


class CentreMap(Control):
    """The middle of the image: a Gaussian whose standard deviation is a quarter of each side."""

    name = "centre_map"
    title = "Middle of the image"
    citations: ClassVar = {"zhang2018topdown": "the centre of the image as a baseline of the pointing game"}

    def map(self, captured: Captured, position: int) -> np.ndarray:  # noqa: ARG002 - the same for each image
        """Return the Gaussian, `(y, x)`."""
        height, width = captured.inputs.shape[2:]
        return middle(height, width)
