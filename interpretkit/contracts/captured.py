"""What a visualizer gets of a batch: what it asked for, and no more."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interpretkit.errors import StepError
from interpretkit.results.map import Map

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from interpretkit.model.model import Model
    from interpretkit.results.image import InputImage
    from interpretkit.results.map import Polarity
    from interpretkit.results.result import Result
    from interpretkit.results.targets import Target


class Listener:
    """Hears what a step says of itself while it computes. This one, outside of runs, lets it go by."""

    def passed(self) -> None:
        """Hear that the network made a forward pass which the step started itself."""

    def progress(self, done: int, total: int) -> None:
        """Hear how far the step is."""

    def alert(self, text: str) -> None:
        """Hear what a reader of the run must know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What one step gets for a batch: what it asked for, and no more.

    A target that asks for the top classes comes one class at a time: `compute` is called for each.

    Attributes:
        images: The images of the batch.
        inputs: What the model was fed, `(image, channel, y, x)`.
        activations: Outputs by layer, in the order asked for; each `(image, channel, y, x)` where it is a map, tokens
            and channels that come last included.
        gradients: Gradients of the score by layer, of the same shapes.
        input_gradient: Gradient of the score for `inputs`, of the same shape; None unless it was asked for.
        targets: For each image what was differentiated; empty without a target.
        results: Results of the earlier steps that this one reads, for the same batch, by step id; read-only.
        model: The model, for visualizers that make passes of their own or read its parameters. It is in eval mode
            meanwhile, and is put back as it was afterwards: mode, hooks, `.grad`, random state.
        repeat: For visualizers that make passes of their own: `repeat(step, inputs, position)` computes an earlier step
            that this one reads once more, for `inputs` `(variant, channel, y, x)`, variants of the image at `position`,
            and for the target that it had; the variants are the images of the result.
        listener: Who hears `progress` and `alert`.
    """

    images: tuple[InputImage, ...]
    inputs: torch.Tensor
    activations: Mapping[str, torch.Tensor]
    gradients: Mapping[str, torch.Tensor]
    input_gradient: torch.Tensor | None = None
    targets: tuple[Target, ...] = ()
    results: Mapping[str, Result] = field(default_factory=dict)
    model: Model | None = None
    repeat: Callable[[str, torch.Tensor, int], Result] | None = None
    listener: Listener = field(default_factory=Listener)

    def progress(self, done: int, total: int) -> None:
        """Say how far `compute` is: `done` of `total`, in whatever it counts. Outside of a run nobody hears it."""
        self.listener.progress(int(done), int(total))

    def alert(self, text: str) -> None:
        """Say in one line what a reader of the result must know; the run and its report repeat it.

        For what is worth knowing and no reason to fail. Outside of a run nobody hears it.
        """
        self.listener.alert(str(text))

    def seed(self, position: int, seed: int = 0) -> int:
        """Return a seed for random numbers about the image at `position`: the same in any batch and at every run.

        Args:
            position: Which of `images`.
            seed: The user's own, so that there are others to try.
        """
        digest = hashlib.sha256(f"{seed}:{self.images[position].sha256}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def features(self, layer: str) -> torch.Tensor:
        """Return the activations of a layer that has a grid of cells, `(image, channel, y, x)`.

        Raises:
            StepError: If it returns something else.
        """
        values = self.activations[layer]
        if values.ndim != 4:  # noqa: PLR2004 - image, channel, y, x
            raise StepError(
                f"layer {layer} returns {'×'.join(map(str, values.shape))}, not feature maps (image, channel, y, x)",
                hint="choose a convolutional layer before the pooling; `interpretkit layers` lists what each returns",
            )
        return values

    def map(self, layer: str, values: torch.Tensor, *, polarity: Polarity) -> Map:
        """Return `values` `(image, channel, y, x)` or `(image, y, x)` as a map of `layer`.

        Raises:
            ValueError: If `values` has other than three or four dims.
        """
        dims = {3: ("image", "y", "x"), 4: ("image", "channel", "y", "x")}.get(values.ndim)
        if dims is None:
            shape = "×".join(map(str, values.shape))
            raise ValueError(f"layer {layer}: shape {shape} is no map (image, channel, y, x) or (image, y, x)")
        height, width = self.inputs.shape[-2:]
        values = values.detach().cpu()
        return Map(
            # numpy has no bfloat16; float32 holds each of its values.
            values=(values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy(),
            dims=dims,
            layer=layer,
            input_size=(height, width),
            polarity=polarity,
        )
