"""What all methods share: one map for each layer, drawn beside the photo; a method adds its formula."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from interpretkit import Figure, Layered, Needs, Result, StepError, Targeted, Visualizer, figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from interpretkit import Captured, Grid, Map


class LayerMaps(Visualizer):
    r"""A method that returns one map `(image, y, x)` for each layer, at the layer's own resolution, with its sign.

    The formulas of all methods are over the cells of a grid, however many axes it has: in networks of signals the maps
    are `(image, x)`, of volumes `(image, z, y, x)`, and $HW$ is the number of cells.

    The papers end with $\max(L, 0)$; the sign is kept here, and only the overlay shows the positive part.
    """

    requires = "layers with a grid of cells: maps, or tokens of patches"

    title: ClassVar[str]
    """What figures call the method."""

    yields = "attribution"
    polarity = "signed"

    class Options(Layered):
        """Options of every method that looks at layers."""

    options: Options

    @abstractmethod
    def layer_maps(self, captured: Captured) -> dict[str, torch.Tensor]:
        """Return the maps of each layer, `(image, y, x)`; all layers return `(image, channel, y, x)`."""

    def compute(self, captured: Captured) -> Result:
        """Return one map per layer, `(image, y, x)`.

        Raises:
            StepError: If a layer returns anything without a grid of cells, or `#*` stands for no call at all.
        """
        if not captured.activations:
            raise StepError(f"none of the layers {', '.join(self.options.layers)} is called on the way to the score")
        for layer in captured.activations:
            captured.features(layer)
        values = self.layer_maps(captured)
        maps = {layer: captured.map(layer, each, polarity="signed") for layer, each in values.items()}
        return Result(maps=maps)

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw, for each layer, the photo, the positive part over it, and the signed map on its own grid."""
        for layer, each in result.maps.items():
            yield self._figure(layer, each, result)

    def _figure(self, layer: str, each: Map, result: Result) -> Figure:
        values = each.values[0]
        target = str(result.targets[0]) if result.targets else "of no class, the same for each"
        title = f"{self.title} at {layer}: {target}"
        pixels = result.images[0].pixels
        picture = figures.attribution(values, pixels, title=title, polarity="signed", grid=each.grid)
        caption = f"{self.title} at {layer}. {figures.described(values, polarity='signed', grid=each.grid)}"
        alt = figures.alt(values, what=f"{self.title} at {layer} for {target}")
        return Figure(name=layer, picture=picture, caption=caption, alt=alt)


class TargetMaps(LayerMaps):
    """A method that explains the score of a target."""

    class Options(LayerMaps.Options, Targeted):
        """Options of every method that explains a target."""

    options: Options


class GradientMaps(TargetMaps):
    """A method that is a formula over a layer's activation and the score's gradient there."""

    cost = "one backward pass for each target, shared with the other steps"

    def needs(self) -> Needs:
        """Ask for the layers' outputs and the gradients of the target's score there."""
        return Needs(gradients=self.options.layers, target=self.options.target)

    @abstractmethod
    def maps(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the maps `(image, y, x)` of a layer, both arguments `(image, channel, y, x)`."""

    def layer_maps(self, captured: Captured) -> dict[str, torch.Tensor]:
        """Return the maps of each layer, `(image, y, x)`."""
        activations = captured.activations
        return {layer: self.maps(activations[layer], each) for layer, each in captured.gradients.items()}


class ScoredMaps(TargetMaps):
    """A method that weights each channel by scores from forward passes of its own, image by image."""

    class Options(TargetMaps.Options):
        """Options of every method with forward passes of its own."""

        internal_batch_size: int = Field(default=32, ge=1, description="how many variants of an image to run at once")

    options: Options

    def needs(self) -> Needs:
        """Ask for the layers' outputs, the target, and the model."""
        return Needs(activations=self.options.layers, target=self.options.target, own_passes=True)

    @abstractmethod
    def weights(self, captured: Captured, layer: str, position: int) -> torch.Tensor:
        """Return the weight of each channel of a layer for the image at `position`, `(channel,)`."""

    def layer_maps(self, captured: Captured) -> dict[str, torch.Tensor]:
        """Return the maps of each layer, `(image, y, x)`."""
        import torch

        maps = {}
        for layer, activation in captured.activations.items():
            weights = [self.weights(captured, layer, position) for position in range(len(activation))]
            maps[layer] = weighted_sum(torch.stack(weights), activation)
        return maps


def grid_of(values: torch.Tensor) -> tuple[int, ...]:
    """Return the dims of the grid of `values` `(image, channel, y, x)`: all after image and channel.

    Example:
        >>> import torch
        >>> grid_of(torch.zeros(1, 4, 7, 7)), grid_of(torch.zeros(1, 4, 16))
        ((2, 3), (2,))
    """
    return tuple(range(2, values.ndim))


def interpolated(values: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return `values` `(image, channel, y, x)` at every pixel of the input, interpolated linearly between cells.

    Args:
        values: Values of the cells.
        grid: Where these lie.

    Example:
        >>> import torch
        >>> from interpretkit import Grid
        >>> interpolated(torch.tensor([[[0.0, 4.0]]]), Grid.even((2,), (4,)))
        tensor([[[0., 1., 3., 4.]]])
    """
    import torch

    for dim, row in zip(grid_of(values), grid.rows, strict=True):
        weights = torch.from_numpy(row.linear).to(values)
        values = (values.movedim(dim, -1) @ weights.T).movedim(-1, dim)
    return values


def weighted_sum(weights: torch.Tensor, activation: torch.Tensor) -> torch.Tensor:
    """Return the sum over the channels of `activation` `(image, channel, y, x)` with `weights` `(image, channel)`.

    Example:
        >>> import torch
        >>> weighted_sum(torch.tensor([[2.0, -1.0]]), torch.ones(1, 2, 1, 3))
        tensor([[[1., 1., 1.]]])
    """
    import torch

    return torch.einsum("nk,nk...->n...", weights, activation)
