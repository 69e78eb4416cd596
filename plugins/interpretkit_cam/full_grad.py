"""FullGrad: what the input and every bias contribute to the score, all of it, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpretkit import Figure, Needs, RecipeError, Result, Table, Targeted, Visualizer, figures
from interpretkit_cam.base import interpolated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import nn

    from interpretkit import Captured, Grid, Model

_INPUT = "input"


class FullGrad(Visualizer):
    r"""FullGrad: the score as a sum over the input and all biases, laid over the image.

    A network of linear layers and ReLUs is $y = \langle \nabla_x y, x \rangle + \sum_l \langle \nabla_{b_l} y, b_l
    \rangle$ exactly. The gradient for a bias is that for the output of its module, cell by cell; batch normalisation in
    eval mode has the bias $\beta - \gamma \mu / \sqrt{\sigma^2 + \epsilon}$.

    $$S = \psi(\nabla_x y \circ x) + \sum_l \psi(\nabla_{b_l} y \circ b_l)$$

    where $\psi$ takes magnitudes, rescales those of an image and module from 0 to 1, interpolates bilinearly to the
    size of the input (linearly along each axis, where there are not two) and sums over channels. One map
    `(image, y, x)` at the input's resolution, never negative.

    The table `contributions` has the sum of each part, with its sign; `completeness` the score, what the parts sum to,
    and the gap between. Into the gap falls whatever is not piecewise linear (a smooth activation, attention, a
    normalisation by the image's own statistics), and biases that are no module's output: those of tokens without a
    place, of a normalisation with an activation of its own, of functions.
    """

    name = "full_grad"
    yields = "attribution"
    requires = "nothing; all is accounted for in a network of linear layers, batch normalisation and ReLUs"
    citations = {"srinivas2019fullgrad": ""}
    cost = "one backward pass down to the input for each target, shared with the other steps"
    polarity = "unsigned"

    class Options(Targeted):
        """Options of FullGrad."""

    options: Options

    def needs_of(self, model: Model) -> Needs:
        """Ask for the gradients for the input and at every call of every module with a bias.

        Raises:
            RecipeError: If the biases cannot be reached: the network is TorchScript, or was exported.
        """
        parts = ((path, part) for path, part in model.module.named_modules() if path)
        biased = [f"{path}#*" for path, part in parts if _bias(part) is not None]
        _check_reached(model.module, biased)
        return Needs(gradients=biased, input_gradient=True, target=self.options.target, parameters=True)

    def compute(self, captured: Captured) -> Result:
        """Return the map `input`, and the tables `contributions` and `completeness`."""
        import torch

        names, sums = [], []
        saliency = torch.zeros_like(captured.inputs[:, 0])
        for name, each in _parts(captured):
            names.append(name)
            total = each.double().flatten(1).sum(1)
            sums.append(total.cpu().numpy())
            if _has_grid(captured, name):
                saliency += _laid_over(each, captured.grid(name))
        return Result(
            maps={_INPUT: captured.map(_INPUT, saliency, polarity="unsigned")},
            tables=_tables(captured, names, np.stack(sums, axis=1)),
        )

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw the photo, the map over it, and the map alone."""
        (image,), (target,) = result.images, result.targets
        shown = result.maps[_INPUT]
        values = shown.values[0]
        sums = result.tables["completeness"]
        attributed, gap = figures.number(sums["attributed"][0]), figures.number(sums["gap"][0])
        about = f"input and biases sum to {attributed}, a gap of {gap} to the score"
        title = f"FullGrad: {target}; {about}"
        picture = figures.attribution(values, image.pixels, title=title, polarity="unsigned", grid=shown.grid)
        caption = (
            f"FullGrad: magnitudes of what input and biases contribute, rescaled part by part and summed; {about}. "
            f"{figures.described(values, polarity='unsigned')}"
        )
        alt = figures.alt(values, what=f"FullGrad for {target}")
        yield Figure(name=_INPUT, picture=picture, caption=caption, alt=alt)


def _check_reached(network: nn.Module, biased: Sequence[str]) -> None:
    """Refuse a network of whose biases FullGrad would see none, and give the gradient for the input alone."""
    import torch

    hint = "give the nn.Module that it was made of; input_x_gradient and integrated_gradients take it as it is"
    for path, part in network.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            where = f"layer {path}" if path else "the network"
            raise RecipeError(f"FullGrad sums over all biases, and {where} is TorchScript, which hides them", hint=hint)
    names = [name for name, _ in network.named_parameters() if name.endswith("bias")]
    if names and not biased:
        what = f"FullGrad sums over all biases, and no module returns what {names[0]} is added to: only functions do"
        raise RecipeError(what, hint=hint)


def _parts(captured: Captured) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name of each part of the score, and its contribution cell by cell."""
    if captured.input_gradient is not None:
        yield _INPUT, captured.input_gradient * captured.inputs
    for layer, gradient in captured.gradients.items():
        part = captured.model.module.get_submodule(layer.partition("#")[0])
        bias = _bias(part)
        if bias is not None:
            yield layer, gradient * _spread(bias, part, gradient, has_grid=_has_grid(captured, layer))


def _has_grid(captured: Captured, layer: str) -> bool:
    return "x" in captured.axes_of(layer)


def _bias(part: nn.Module) -> torch.Tensor | None:
    """Return what a module adds to a function without a constant; None if it adds nothing, or is of no known kind."""
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase  # of batch and instance normalisation
    from torch.nn.modules.conv import _ConvNd

    if isinstance(part, nn.Linear | _ConvNd):
        return None if part.bias is None else part.bias.detach()
    if not isinstance(part, _NormBase | nn.GroupNorm | nn.LayerNorm):
        return None
    # Some normalisations bring an activation along: what they return is no sum with a bias then.
    if not all(isinstance(each, nn.Identity) for each in part.children()):
        return None
    bias: torch.Tensor | None = getattr(part, "bias", None)
    mean, variance = getattr(part, "running_mean", None), getattr(part, "running_var", None)
    if mean is None or variance is None:
        return None if bias is None else bias.detach()
    weight = 1 if part.weight is None else part.weight.detach()
    scale = (variance + part.eps).rsqrt() * weight
    implied: torch.Tensor = -mean * scale
    return implied if bias is None else bias.detach() + implied


def _spread(bias: torch.Tensor, part: nn.Module, gradient: torch.Tensor, *, has_grid: bool) -> torch.Tensor:
    """Return the bias in a shape that broadcasts to the module's output, in which channels come before a grid."""
    from torch import nn

    first = has_grid or not isinstance(part, nn.Linear | nn.LayerNorm)
    if bias.ndim > 1 or not first or gradient.shape[1] != len(bias):
        return bias
    return bias.view(-1, *(1,) * (gradient.ndim - 2))


def _laid_over(part: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the magnitudes of `part` `(image, channel, y, x)`, from 0 to 1 in each image, at the input's pixels."""
    import torch

    sizes = part.abs()
    dims = tuple(range(1, sizes.ndim))
    low, high = sizes.amin(dims, keepdim=True), sizes.amax(dims, keepdim=True)
    rescaled = (sizes - low) / torch.where(high > low, high - low, 1)
    # Interpolation is linear, so the channels can be summed before it.
    total = rescaled.sum(1, keepdim=True)
    return interpolated(total, grid)[:, 0]


def _tables(captured: Captured, names: Sequence[str], sums: np.ndarray) -> dict[str, Table]:
    """Return both tables; `sums` are `(image, part)`."""
    images = [image.id for image in captured.images]
    scores = np.array([target.score for target in captured.targets])
    attributed = sums.sum(1)
    return {
        "contributions": Table(
            image=np.repeat(images, len(names)),
            part=[*names] * len(images),
            contribution=sums.reshape(-1),
        ),
        "completeness": Table(
            image=images,
            score=scores,
            attributed=attributed,
            gap=scores - attributed,
        ),
    }
