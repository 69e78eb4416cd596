"""What all methods share: options, passes of their own, and figures that say how far a map adds up."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

from interpretkit import Figure, Needs, Result, Targeted, Visualizer, figures
from interpretkit_captum.completeness import Explanation, far, in_words, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from torch import nn

    from interpretkit import Captured
    from interpretkit_captum.network import Subject

INPUT = "input"


class Attribution(Visualizer):
    """A method that gives every pixel, or every cell of a layer, its part in the score."""

    title: ClassVar[str]
    """Its name in figures."""

    joined: ClassVar[str] = "summed over the colour channels"
    """What was done to the channels of a cell, for captions."""

    about: ClassVar[str] = ""
    """What stands before the name of the baseline in captions."""

    yields = "attribution"
    polarity: ClassVar[Literal["signed", "unsigned"] | None] = "signed"

    class Options(Targeted):
        """What is explained."""

    options: Targeted

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the photo, the map over it, and the map on its own grid; say how far it adds up."""
        (image,), (target,) = result.images, result.targets
        for layer, each in result.maps.items():
            what = f"{self.title} at {'the input' if layer == INPUT else layer}"
            values, title = each.values[0], f"{what}: {target}"
            yield Figure(
                name=layer,
                picture=figures.attribution(values, image.pixels, title=title, polarity=each.polarity, grid=each.grid),
                caption=" ".join([f"{what}, {self.joined}.", *in_words(result, layer, about=self.about)]),
                alt=figures.alt(values, what=f"{what} for {target}"),
            )


class OwnPasses(Attribution):
    """A method that runs the network itself, image by image, through captum."""

    @property
    def mend(self) -> str:
        """What to do where attributions are far from adding up."""
        for option in ("steps", "samples", "baselines"):
            if option in type(self.options).model_fields:
                return f"take more {option}"
        return "another baseline, or integrated_gradients, may come nearer"

    def needs(self) -> Needs:
        """Ask for passes of its own about the target."""
        return Needs(own_passes=True, target=self.options.target)

    def compute(self, captured: Captured) -> Result:
        """Return one map `(image, y, x)` for the input, or for each layer, and how far they add up."""
        import torch

        from interpretkit_captum.network import fixed, subjects

        seed = getattr(self.options, "seed", 0)
        with self.network(captured) as network, fixed(network):
            found = [self.explain(each) for each in subjects(captured, network, seed=seed)]
        for text in far(captured, found, mend=self.mend):
            captured.alert(text)
        for image, of_image in zip(captured.images, found, strict=True):
            for text in dict.fromkeys(each.doubt for each in of_image.values() if each.doubt):
                captured.alert(f"{image.id}: {text}")
        maps = {}
        for layer in found[0]:
            values = torch.stack([each[layer].values for each in found])
            maps[layer] = captured.map(layer, values, polarity=self.polarity or "signed")
        baseline = getattr(self.options, "baseline", "")
        return Result(maps=maps, tables=tables_of(captured, found, baseline=baseline))

    @contextmanager
    def network(self, captured: Captured) -> Iterator[nn.Module]:
        """Make the network fit for the method, and put it back as it was; here it is as it is.

        Raises:
            StepError: If the method cannot explain this network.
        """
        yield captured.model.module

    @abstractmethod
    def explain(self, subject: Subject) -> Mapping[str, Explanation]:
        """Return what the method says of one image: under `input`, or by layer."""


def over_channels(values: torch.Tensor) -> torch.Tensor:
    """Return attributions `(1, channel, y, x)` summed over channels, `(y, x)`."""
    return values.detach()[0].sum(0)


def total(values: torch.Tensor) -> float:
    """Return the sum of all attributions, in float64."""
    return float(values.detach().double().sum())
