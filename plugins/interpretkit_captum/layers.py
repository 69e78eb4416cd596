"""Methods that give the cells of a layer their part in the score."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from interpretkit import Layered, Needs, StepError, figures
from interpretkit_captum.attribution import OwnPasses, over_channels, total
from interpretkit_captum.completeness import Explanation
from interpretkit_captum.options import Baselined, Batched, Paired

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from interpretkit import Captured
    from interpretkit_captum.network import Subject


class LayerOptions(Layered, Baselined, Batched):
    """At which layers, and in how many steps from the baseline."""

    steps: int = Field(default=50, ge=2, description="points on the way from the baseline to the image")


class LayerAttribution(OwnPasses):
    """A method that follows a layer on the way from a baseline to the image."""

    requires = "layers with a grid of cells: maps, or tokens of patches"

    joined = "summed over channels"
    complete: ClassVar[bool] = True
    """Whether all attributions sum to what the score exceeds the baseline's by, where all goes through the layer."""

    class Options(LayerOptions):
        """At which layers."""

    options: LayerOptions

    def needs(self) -> Needs:
        """Ask for the layers, so that they are checked, and for passes of its own."""
        return Needs(own_passes=True, target=self.options.target, activations=self.options.layers)

    @contextmanager
    def network(self, captured: Captured) -> Iterator[nn.Module]:
        """Let modules work out of place: captum replaces what a layer returns, or keeps it.

        Raises:
            StepError: If the network goes on with what a module has overwritten.
        """
        from interpretkit_captum.network import out_of_place

        network = captured.model.module
        with out_of_place(captured, network):
            yield network

    def explain(self, subject: Subject) -> dict[str, Explanation]:
        """Return one map per layer.

        Raises:
            StepError: If a layer has no grid, or its calls would have to be told apart.
        """
        baseline = subject.baseline(self.options.baseline)
        scores = subject.against(baseline)
        found = {}
        for layer in subject.model.find(self.options.layers):
            raw = self.attribute(subject, module_of(subject, layer.name), baseline)
            if isinstance(raw, tuple):
                (raw,) = raw
            values, axes = subject.model.arranged(layer, raw.detach(), inputs=subject.image)
            if "x" not in axes:
                shape = figures.shape(raw.shape[1:])
                raise StepError(
                    f"{self.name} needs a layer with a grid (channel, y, x); {layer.name} returns {shape}",
                    hint="choose a layer before the pooling, or say under the model's layouts how its tokens lie",
                )
            found[layer.name] = Explanation(
                values=over_channels(values), total=total(raw) if self.complete else None, **scores
            )
        return found

    def attribute(self, subject: Subject, module: nn.Module, baseline: torch.Tensor) -> torch.Tensor:
        """Return the attributions of what a module returns, as captum does."""
        raise NotImplementedError


class LayerConductance(LayerAttribution):
    r"""Layer conductance: how much of integrated gradients flows through each cell of a layer.

    $$M(y, x) = \sum_k \int_0^1 \frac{\partial s}{\partial A_k(y, x)}\,
      \frac{\partial A_k(y, x)}{\partial \alpha} \Big|_{I' + \alpha (I - I')} d\alpha$$

    for the score $s$, the layer's activations $A$ and the way from the baseline $I'$ to the image $I$, in `steps`
    differences of $A$ between both ends (captum's `riemann_trapezoid`; its default leaves out both ends). One map per
    layer, `(image, y, x)`, at the layer's grid, signed, in units of the score, summed over channels. Complete where all
    of the score goes through the layer: all attributions sum to $s(I) - s(I')$, up to the error of the steps; the table
    `completeness` has the gap, tokens of no place included.
    """

    name = "layer_conductance"
    title = "Layer conductance"
    citations = {"dhamdhere2019how": "", "kokhlikyan2020captum": "the implementation"}
    cost = "`steps` + 1 forward and backward passes of its own for each image, target and layer, and two forward passes"

    class Options(Paired, LayerOptions):
        """Options of layer conductance."""

    options: Options

    def attribute(self, subject: Subject, module: nn.Module, baseline: torch.Tensor) -> torch.Tensor:
        """Return the conductance."""
        import captum.attr

        method = captum.attr.LayerConductance(subject.scored, module)
        values: torch.Tensor = method.attribute(
            subject.leaf(),
            baseline,
            n_steps=self.options.steps,
            method="riemann_trapezoid",
            internal_batch_size=min(self.options.internal_batch_size, self.options.steps + 1),
        )
        return values


class InternalInfluence(LayerAttribution):
    r"""Internal influence: the mean slope of the score in each cell of a layer between a baseline and the image.

    $$M(y, x) = \sum_k \int_0^1 \frac{\partial s}{\partial A_k(y, x)} \Big|_{I' + \alpha (I - I')} d\alpha$$

    One map per layer, `(image, y, x)`, at the layer's grid, signed, in units of the score per unit of the layer, summed
    over channels. It says how much the score would change with the layer, not what the layer has contributed, and
    promises no completeness.
    """

    name = "internal_influence"
    title = "Internal influence"
    complete = False
    citations = {"leino2018influence": "", "kokhlikyan2020captum": "the implementation"}
    cost = "`steps` forward and backward passes of its own for each image, target and layer, and two forward passes"

    def attribute(self, subject: Subject, module: nn.Module, baseline: torch.Tensor) -> torch.Tensor:
        """Return the mean slope."""
        import captum.attr

        method = captum.attr.InternalInfluence(subject.scored, module)
        values: torch.Tensor = method.attribute(
            subject.leaf(), baseline, n_steps=self.options.steps, internal_batch_size=self.options.internal_batch_size
        )
        return values


class LayerIntegratedGradients(LayerAttribution):
    r"""Layer integrated gradients: from a layer's activations for the baseline to those for the image.

    $$M(y, x) = \sum_k \left( A_k - A'_k \right) \int_0^1
      \frac{\partial s}{\partial A_k} \Big|_{A' + \alpha (A - A')} d\alpha$$

    The straight way is one between activations $A'$ of the baseline and $A$ of the image, whereas conductance follows
    images. One map per layer, `(image, y, x)`, at the layer's grid, signed, in units of the score, summed over
    channels. Complete where all of the score goes through the layer: all attributions sum to $s(I) - s(I')$, up to
    the error of the quadrature; the table `completeness` has the gap, tokens of no place included.
    """

    name = "layer_integrated_gradients"
    title = "Layer integrated gradients"
    citations = {"sundararajan2017axiomatic": "", "kokhlikyan2020captum": "the implementation"}
    cost = "`steps` forward and backward passes of its own for each image, target and layer, and four forward passes"

    def attribute(self, subject: Subject, module: nn.Module, baseline: torch.Tensor) -> torch.Tensor:
        """Integrate from the baseline's activations."""
        import captum.attr

        method = captum.attr.LayerIntegratedGradients(subject.scored, module)
        values: torch.Tensor = method.attribute(
            subject.leaf(), baseline, n_steps=self.options.steps, internal_batch_size=self.options.internal_batch_size
        )
        return values


def module_of(subject: Subject, name: str) -> nn.Module:
    """Return the module that a layer's name stands for.

    Raises:
        StepError: If it stands for one of several calls: captum hooks all of them.
    """
    (layer,) = subject.model.find([name])
    if layer.address.call is not None:
        raise StepError(
            f"captum cannot tell the calls of a layer apart, so {name} cannot be explained",
            hint="choose a layer that is called once",
        )
    return subject.network.get_submodule(layer.address.path)
