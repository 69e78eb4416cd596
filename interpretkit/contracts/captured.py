"""What a visualizer gets of a batch: what it asked for, and no more."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interpretkit import words
from interpretkit.errors import StepError
from interpretkit.results.axes import CHANNEL, IMAGE, TOKEN, has_grid, of_inputs, spatial
from interpretkit.results.grid import Grid
from interpretkit.results.map import Map

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from interpretkit.model.model import Model
    from interpretkit.model.outputs.output import Prediction
    from interpretkit.results.image import InputImage
    from interpretkit.results.map import Polarity
    from interpretkit.results.result import Result
    from interpretkit.results.targets import Target

_PREFIX_TOKENS = 3
"""So many tokens, less one, are tried as those before the tokens of a grid: class, distillation."""


class Listener:
    """Hears what a step says of itself while it computes. This one lets it go by."""

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
        axes: What the axes of these outputs are, by layer: `(image, channel, y, x)` where there is a grid of cells.
        spacing: Where the cells of these outputs lie, by layer and axis, as `Map.spacing`; `grid` puts it to use.
        gradients: Gradients of the score by layer, of the same shapes.
        input_gradient: Gradient of the score for `inputs`, of the same shape; None unless it was asked for.
        targets: For each image what was differentiated; empty without a target.
        predictions: For each image what the model finds in it, the strongest first; nothing if it cannot be read.
        results: Results of the earlier steps that this one reads, for the same batch, by step id; read-only.
        listener: Who hears `progress` and `alert`.
    """

    images: tuple[InputImage, ...]
    inputs: torch.Tensor
    activations: Mapping[str, torch.Tensor]
    gradients: Mapping[str, torch.Tensor]
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spacing: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    input_gradient: torch.Tensor | None = None
    targets: tuple[Target, ...] = ()
    predictions: tuple[tuple[Prediction, ...], ...] = ()
    results: Mapping[str, Result] = field(default_factory=dict)
    _model: Model | None = None
    _repeat: Callable[[str, torch.Tensor, int, Model | None], Result] | None = None
    listener: Listener = field(default_factory=Listener)

    @property
    def model(self) -> Model:
        """The model, for visualizers that make passes of their own or read its parameters.

        It is in eval mode meanwhile, and is put back as it was afterwards: mode, hooks, `.grad`, random state.

        Raises:
            StepError: If the visualizer's needs do not ask for it.
        """
        if self._model is None:
            raise StepError(
                "compute() takes captured.model, which needs() does not ask for",
                hint="return Needs(own_passes=True), or Needs(parameters=True) if it only reads parameters",
            )
        return self._model

    def repeat(self, step: str, inputs: torch.Tensor, position: int, *, model: Model | None = None) -> Result:
        """Compute an earlier step that this one reads once more, for variants of an image and the target that it had.

        Args:
            step: Its id.
            inputs: The variants, `(variant, channel, y, x)`; they are the images of the result.
            position: Which of `images` they are variants of.
            model: A model of the same layers in place of the step's own, such as one of `randomized`.

        Raises:
            StepError: If the step cannot be repeated, or the visualizer's needs do not ask for passes of its own.
        """
        if self._repeat is None:
            what = "compute() repeats a step, but needs() asks for no passes of its own"
            raise StepError(what, hint="return Needs(own_passes=True)")
        return self._repeat(step, inputs, position, model)

    def progress(self, done: int, total: int) -> None:
        """Say how far `compute` is: `done` of `total`, in whatever it counts. Outside of a run nobody hears it."""
        self.listener.progress(int(done), int(total))

    def alert(self, text: str) -> None:
        """Say in one line what a reader of the result must know; the run and its report repeat it.

        For what is worth knowing and no reason to fail. `visualize` makes a warning of it.
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
        if not has_grid(self.axes_of(layer)):
            raise StepError(
                f"layer {layer} returns {'×'.join(map(str, values.shape))}, not feature maps (image, channel, y, x)",
                hint=self._way_to_a_grid(tuple(values.shape)),
            )
        return values

    def _way_to_a_grid(self, shape: tuple[int, ...]) -> str:
        """Return the next step for a layer without a grid; of what may be tokens in a square, the layout to declare."""
        other = "choose a convolutional layer before the pooling; `interpretkit layers` lists what each returns"
        pixels = tuple(self.inputs.shape[2:])
        if len(shape) != len((IMAGE, TOKEN, CHANNEL)) or len(pixels) != len(("y", "x")):
            return other
        for prefix in range(_PREFIX_TOKENS):
            side = math.isqrt(max(shape[1] - prefix, 0))
            if side > 1 and side * side == shape[1] - prefix and not any(length % side for length in pixels):
                patch = tuple(length // side for length in pixels)
                first = f", prefix={prefix}" if prefix else ""
                declared = f"Layout(kind='tokens', patch={patch}{first})"
                how = "by_columns=True if they come column by column"
                return f"if these are {side}×{side} tokens in rows, say so: wrap(…, layouts={{…: {declared}}}); {how}"
        return other

    def axes_of(self, layer: str) -> tuple[str, ...]:
        """Return what the axes of a layer's output are; of anything that is no layer, those of the model's input.

        Example:
            >>> import torch
            >>> nothing = {"images": (), "activations": {}, "gradients": {}}
            >>> Captured(inputs=torch.zeros(1, 3, 8, 8), **nothing).axes_of("input")
            ('image', 'channel', 'y', 'x')
        """
        return self.axes.get(layer, of_inputs(self.inputs.ndim))

    def grid(self, layer: str) -> Grid:
        """Return where the cells of a layer lie on the model's input; of anything that is no layer, its pixels.

        Raises:
            StepError: If the layer returns no grid of cells.
        """
        values = self.features(layer) if layer in self.activations else self.inputs
        cells = dict(zip(self.axes_of(layer), values.shape, strict=True))
        return Grid.placed(cells, self._extent, self.spacing.get(layer, {}))

    @property
    def _extent(self) -> dict[str, int]:
        """The lengths in pixels of the input's axes."""
        return dict(zip(spatial(self.inputs.ndim - 2), self.inputs.shape[2:], strict=True))

    def map(self, layer: str, values: torch.Tensor, *, polarity: Polarity) -> Map:
        """Return `values` of a layer as a map: with the layer's axes `(image, channel, y, x)`, or without channels.

        Its cells lie where those of the layer lie.

        Raises:
            ValueError: If `values` has axes that the layer has not.
        """
        axes = self.axes_of(layer)
        without_channels = tuple(axis for axis in axes if axis != CHANNEL)
        dims = next((each for each in (axes, without_channels) if len(each) == values.ndim), None)
        if dims is None:
            shape = words.shape(values.shape)
            wanted = " or ".join(f"({', '.join(each)})" for each in (axes, without_channels))
            raise ValueError(f"layer {layer}: shape {shape} is no map {wanted}")
        pixels = self._extent
        values = values.detach().cpu()
        return Map(
            # numpy has no bfloat16; float32 holds each of its values.
            values=(values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy(),
            dims=dims,
            layer=layer,
            extent={axis: pixels[axis] for axis in dims if axis in pixels},
            spacing=self.spacing.get(layer, {}),
            polarity=polarity,
        )
