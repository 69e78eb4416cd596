"""CAM, the first of the class activation maps: the weights of the linear layer, laid over the activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import Needs, StepError
from interpretkit_cam.base import TargetMaps, weighted_sum

if TYPE_CHECKING:
    import torch

    from interpretkit import Captured


class CAM(TargetMaps):
    r"""CAM: what each cell of the last layer contributes to a class, read off the linear layer's weights.

    $$L(y, x) = \sum_k w_k^c A_k(y, x), \qquad \frac{1}{HW} \sum_{y, x} L(y, x) = S^c - b^c$$

    It exists only where nothing but global average pooling and one linear layer follows. So the network's last `Linear`
    with as many inputs as the layer has channels is taken, and for each image it is checked that the mean over the
    map's cells, plus the bias, comes out as the score. It is $HW$ times Grad-CAM. One map per layer, `(image, y, x)`,
    in units of the score.
    """

    name = "cam"
    requires = "a layer that global average pooling and one linear layer turn into the logits"
    title = "CAM"
    citations = {"zhou2016cam": ""}

    def needs(self) -> Needs:
        """Ask for the layers' outputs, the target, and the weights of the linear layer."""
        return Needs(activations=self.options.layers, target=self.options.target, parameters=True)

    def layer_maps(self, captured: Captured) -> dict[str, torch.Tensor]:
        """Return the maps of each layer, `(image, y, x)`.

        Raises:
            StepError: If what follows a layer is not global average pooling and one linear layer.
        """
        return {layer: self._map(captured, layer) for layer in captured.activations}

    def _map(self, captured: Captured, layer: str) -> torch.Tensor:
        import torch

        activation = captured.activations[layer]
        weights, bias = self._last_linear(captured, layer)
        maps = weighted_sum(weights, activation)
        reached = _pooled(maps) + bias
        scores = reached.new_tensor([target.score for target in captured.targets])
        # How far rounding may lead, beside the size of the terms that are summed.
        terms = weighted_sum(weights.abs(), activation.abs())
        scale = _pooled(terms) + bias.abs()
        tolerance = torch.finfo(maps.dtype).eps ** 0.5
        off = (reached - scores).abs() > tolerance * scale
        if bool(off.any()):
            first = int(off.nonzero()[0])
            image, found, wanted = captured.images[first].id, float(reached[first]), float(scores[first])
            raise _unfit(layer, f"pooled and weighted it gives {image!r} the score {found:.4g} instead of {wanted:.4g}")
        return maps

    def _last_linear(self, captured: Captured, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each image the weights of its target `(image, channel)`, and the bias `(image,)` in float64."""
        import torch

        channels = captured.activations[layer].shape[1]
        model = captured.model
        linears = [each for each in model.module.modules() if isinstance(each, torch.nn.Linear)]
        fitting = [each for each in linears if each.in_features == channels]
        if not fitting:
            raise _unfit(layer, f"no linear layer takes its {channels} channels")
        last = fitting[-1]
        weight = last.weight.detach()
        bias = weight.new_zeros(len(weight)) if last.bias is None else last.bias.detach()
        rows = [model.output_of(target).terms(target) for target in captured.targets]
        columns = [term.column for terms in rows for term in terms]
        known = [column for column in columns if column is not None]
        if len(known) < len(columns):
            raise _unfit(layer, "the target is no class")
        if max(known) >= len(weight):
            raise _unfit(layer, f"the last linear layer that takes its {channels} channels returns no logits")
        # The classes as rows of a matrix that picks them, less those they are set against.
        picked = weight.new_zeros(len(rows), len(weight))
        for row, terms in zip(picked, rows, strict=True):
            for term in terms:
                row[term.column] += term.weight
        return picked @ weight, picked.double() @ bias.double()


def _pooled(maps: torch.Tensor) -> torch.Tensor:
    """Return the mean over the cells of maps `(image, y, x)` in float64, `(image,)`."""
    cells = tuple(range(1, maps.ndim))
    return maps.double().mean(cells)


def _unfit(layer: str, why: str) -> StepError:
    return StepError(
        f"CAM needs global average pooling and one linear layer after layer {layer}: {why}",
        hint="choose the last layer before the pooling, or use hirescam, which equals CAM there but for a factor",
    )
