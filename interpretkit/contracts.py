"""What plugins implement: visualizers and builders of models, what they ask for and what they get."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from interpretkit.errors import RecipeError, StepError, WeightsError
from interpretkit.results import Map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import torch

    from interpretkit.citations import Citation
    from interpretkit.model import Model
    from interpretkit.results import Figure, InputImage, Polarity, Result
    from interpretkit.targets import Target, TargetSpec


class Options(BaseModel):
    """Base of every plugin's options: unknown keys, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


_Options = Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a visualizer asks of the one pass.

    Attributes:
        activations: Patterns of layers whose outputs it reads.
        gradients: Patterns of layers for whose outputs it reads the gradient of the score, and their outputs.
        input_gradient: Whether it reads the gradient of the score for the model's input, `Captured.input_gradient`.
        target: What the score is; required with `gradients` and `input_gradient`.
        own_passes: Whether it runs the model itself; it then gets `Captured.model` and `Captured.repeat`.
        parameters: Whether it reads the model's parameters; it then gets `Captured.model` too, and makes no pass.
    """

    activations: Sequence[str] = ()
    gradients: Sequence[str] = ()
    input_gradient: bool = False
    target: TargetSpec | None = None
    own_passes: bool = False
    parameters: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.activations, str) or isinstance(self.gradients, str):
            raise TypeError("Needs: layers are a list of patterns, not one text")
        if self.wants_gradients and self.target is None:
            raise ValueError("Needs: gradients are gradients of a target's score; give the target")

    @property
    def wants_gradients(self) -> bool:
        """Whether a backward pass is needed."""
        return bool(self.gradients) or self.input_gradient


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


class Visualizer(ABC):
    """What one step does. Derive from it, give it a `name`, nested `Options`, `needs`, `compute` and `draw`.

    The result is per image: results are written image by image, and `draw` gets those of one image.

    Example:
        >>> class ChannelMean(Visualizer):
        ...     '''Mean of a layer over its channels.'''
        ...     name = "channel_mean"
        ...     class Options(Visualizer.Options):
        ...         layers: list[str]
        ...         '''Layers to look at.'''
        ...     options: Options
        ...     def needs(self, model):
        ...         return Needs(activations=self.options.layers)
        ...     def compute(self, captured):
        ...         return Result(maps={
        ...             layer: captured.map(layer, values.mean(1), polarity="signed")
        ...             for layer, values in captured.activations.items()
        ...         })
        >>> ChannelMean(ChannelMean.Options(layers=["stage1"])).needs(None).activations
        ['stage1']
    """

    name: ClassVar[str]
    """Its id in recipes: lower-case letters, digits, `_`."""

    citations: ClassVar[tuple[Citation, ...]] = ()
    """The papers that it implements."""

    requires: ClassVar[str] = ""
    """What it asks of the network or of the recipe beyond its options, in words."""

    cost: ClassVar[str] = "nothing beyond the shared forward pass"
    """What it costs in passes, in words; of own passes for each image, in terms of its options."""

    polarity: ClassVar[Polarity | None] = None
    """The polarity of its maps, if all have one."""

    deterministic: ClassVar[bool] = True
    """Whether its numbers are the same at every run; a method with random numbers of a fixed seed is."""

    reads: ClassVar[int] = 0
    """How many earlier steps it reads at least; 0 if it reads none."""

    may_read: ClassVar[bool] = False
    """Whether it can read earlier steps although it needs none."""

    class Options(_Options):
        """No options."""

    def __init__(self, options: _Options) -> None:
        self.options = options

    def needs(self, model: Model) -> Needs:  # noqa: ARG002 - most visualizers need not look at the model
        """Say what to capture. Pure: nothing is run."""
        return Needs()

    @abstractmethod
    def compute(self, captured: Captured) -> Result:
        """Turn what was captured for a batch into arrays and tables. Pure: no files, no drawing."""

    def draw(self, result: Result) -> Iterable[Figure]:  # noqa: ARG002 - a step may have no figures
        """Draw the result of one image (of the whole set in a `Reduction`). Pure, and without torch."""
        return ()


class Reduction(Visualizer):
    """A visualizer whose result is about the whole set of images; small, and merged batch by batch."""

    @abstractmethod
    def merge(self, first: Result, second: Result) -> Result:
        """Return the result of two parts of the set together. Associative: any grouping gives the same result."""

    def finish(self, result: Result) -> Result:
        """Return what is stored and drawn, of the merged result of all images; by default that itself.

        For reductions that merge more than anybody wants to keep: sums from which the numbers follow at the end.

        Raises:
            StepError: If nothing follows from so few images.
        """
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A weights file that a model's authors publish.

    Attributes:
        url: Where it is; what it is called there, it is called in torch's folder of checkpoints.
        sha256: Its hash or the first digits of it, hexadecimal; empty if unknown.
    """

    url: str
    sha256: str = ""


class ModelBuilder(ABC):
    """A kind of model that recipes can name. Derive from it, give it a `name`, nested `Options` and `build`."""

    name: ClassVar[str]
    """Its id in recipes: lower-case letters, digits, `_`."""

    citations: ClassVar[tuple[Citation, ...]] = ()
    """The papers that describe it."""

    class Options(_Options):
        """No options."""

    def __init__(self, options: _Options) -> None:
        self.options = options

    @abstractmethod
    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model and load `state` into it; without one its weights stay as initialised.

        It may be called under `torch.device("meta")`, to list layers without computing anything.

        Raises:
            WeightsError: If `state` does not fit; `load_state` says what is missing, extra or of another shape.
        """

    def published(self, name: str) -> Published:
        """Return which file the published weights `name` are; `DEFAULT` are the best.

        Only builders of networks whose authors publish weights define it. Nothing is fetched.

        Raises:
            RecipeError: If there are no such weights.
        """
        raise RecipeError(f"model {self.name!r} has no published weights {name!r}", hint="give `path:` or `hub:`")

    def convert(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:  # noqa: ARG002 - most have one form
        """Return the weights in the form meant for deployment: another layout of the same function.

        Only builders of networks that have such a form define it. What the options do not say, `state` does.

        Raises:
            WeightsError: If `state` does not fit, or there is no such form.
        """
        raise WeightsError(f"model {self.name!r} has no other form for deployment")
