"""The network as captum is given it: its score for a target, out of place, its parameters held fixed."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import nn

from interpretkit import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from interpretkit import Baseline, Captured, Model, Target


class Scored(nn.Module):
    """Gives the score of a target for images: contrasts are scores like any other, and captum needs no target.

    Args:
        model: What knows how to score.
        target: What is explained.
        network: The network to run in place of the model's own: a copy of it.
    """

    def __init__(self, model: Model, target: Target, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = model.module if network is None else network
        self._model = model
        self._target = target

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the score of each of `images` `(image, channel, y, x)`, `(image,)`."""
        return self._model.raw_scores(images, [self._target], module=self.network)


class Against(TypedDict):
    """The score of an image, and that of what it is set against."""

    score: float
    reference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One image that is explained.

    Attributes:
        image: `(1, channel, y, x)`, as the model is fed.
        pixels: The same as a picture, `(y, x, 3)` uint8.
        target: What is explained.
        model: The model.
        network: The network to run: the model's own, or a copy.
        seed: For random numbers about this image.
    """

    image: torch.Tensor
    pixels: np.ndarray
    target: Target
    model: Model
    network: nn.Module
    seed: int

    @property
    def scored(self) -> Scored:
        """The network as captum is given it."""
        return Scored(self.model, self.target, self.network)

    def baseline(self, name: Baseline) -> torch.Tensor:
        """Return the baseline of this name, of the image's shape."""
        return self.model.baseline(self.image.detach(), name)

    def leaf(self) -> torch.Tensor:
        """Return a copy of the image for which gradients can be taken."""
        return self.image.detach().clone().requires_grad_()

    def against(self, baselines: torch.Tensor, *, batch_size: int = 1) -> Against:
        """Return the `score` of the image and, as `reference`, the mean of those of baselines."""
        score, *references = self.scores(torch.cat([self.image, baselines]), batch_size=batch_size).double().tolist()
        return {"score": score, "reference": sum(references) / len(references)}

    def scores(self, images: torch.Tensor, *, batch_size: int = 1) -> torch.Tensor:
        """Return the score of each of `images`, `(image,)`, without gradients, so many at a time."""
        with torch.no_grad():
            return torch.cat([self.scored(chunk) for chunk in torch.split(images, batch_size)])


def subjects(captured: Captured, network: nn.Module, *, seed: int) -> Iterator[Subject]:
    """Yield what is explained, image by image."""
    model = captured.model
    for position, (image, target) in enumerate(zip(captured.images, captured.targets, strict=True)):
        yield Subject(
            image=captured.inputs[position : position + 1],
            pixels=image.pixels,
            target=target,
            model=model,
            network=network,
            seed=captured.seed(position, seed),
        )


@contextmanager
def fixed(network: nn.Module) -> Iterator[None]:
    """Take gradients for what the network is fed only, and keep captum's remarks about its hooks to itself.

    Whether parameters take gradients is put back by the core, as after all passes of a step's own.
    """
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.filterwarnings("ignore", message=r"\s*Setting (forward, )?backward hooks", category=UserWarning)
        for each in network.parameters():
            each.requires_grad_(False)  # noqa: FBT003 - torch takes it by place only
        yield


@contextmanager
def out_of_place(captured: Captured, network: nn.Module) -> Iterator[None]:
    """Let modules that work in place (`ReLU(inplace=True)`) work on a copy meanwhile.

    Hooks on a module that overwrites what it was given get the wrong values, or fail.

    Raises:
        StepError: If the network then computes another score: it goes on with what a module has overwritten.
    """
    in_place = [part for part in network.modules() if getattr(part, "inplace", False) is True]
    before = _score(captured, network) if in_place else 0.0
    try:
        for part in in_place:
            setattr(part, "inplace", False)  # noqa: B010 - torch's modules do not declare it
        after = _score(captured, network) if in_place else 0.0
        if not math.isclose(before, after, rel_tol=1e-3, abs_tol=1e-9):
            raise StepError(
                f"the network gives a score of {after:.4g} in place of {before:.4g} when its modules do not work in "
                "place, so it goes on with what one of them has overwritten",
                hint="let it use what the module returns",
            )
        yield
    finally:
        for part in in_place:
            setattr(part, "inplace", True)  # noqa: B010


def _score(captured: Captured, network: nn.Module) -> float:
    """Return the score of the first image of a batch."""
    with torch.no_grad():
        return float(Scored(captured.model, captured.targets[0], network)(captured.inputs[:1]))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's and numpy's global generators, which captum draws from, and put them back as they were."""
    import numpy as np

    before: Any = np.random.get_state()  # noqa: NPY002 - the generator that captum uses
    with torch.random.fork_rng():
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
