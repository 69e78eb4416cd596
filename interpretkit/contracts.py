"""The frozen records and base classes that plugins see."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from interpretkit.errors import InputError, RecipeError, WeightsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import torch
    from PIL.Image import Image

    from interpretkit.citations import Citation
    from interpretkit.model import Model
    from interpretkit.targets import Target, TargetSpec

Polarity = Literal["signed", "unsigned"]
Part = TypeVar("Part", "Map", "Table")


class Options(BaseModel):
    """Base of every plugin's options: unknown keys, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


_Options = Options


@dataclass(frozen=True, slots=True, kw_only=True)
class InputImage:
    """One image of a run.

    Attributes:
        id: Stable, unique within the run, fit for a file name.
        source: Where it came from, as given.
        sha256: Hash of the file, or of the pixels where there is no file.
        size: Width and height of the file's image in pixels.
        conversions: What was done to make an 8-bit RGB image of it, in order.
        label: Its label from the input manifest: a class index or name.
        pixels: `(y, x, 3)` uint8: what the step's model was fed, before normalisation.
        mask: `(y, x)` bool over the same pixels: where the object is, by the mask that the input manifest names. None
            without one, and where the model's preprocessing is not a `Preprocessing`, so that its geometry is unknown.
    """

    id: str
    source: str
    sha256: str
    size: tuple[int, int]
    conversions: tuple[str, ...] = ()
    label: str | None = None
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8), repr=False, compare=False)
    mask: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """An array with named dims, at the native resolution of its layer, signed and unnormalised.

    Attributes:
        values: The array.
        dims: `(image, channel, y, x)` or `(image, y, x)`; without `image` in a reduction.
        layer: The layer that it belongs to.
        input_size: Its geometry: height and width in pixels of the model input that the `(y, x)` cells tile evenly.
        polarity: `signed` if values below zero have a meaning, else `unsigned`.
    """

    values: np.ndarray
    dims: tuple[str, ...]
    layer: str
    input_size: tuple[int, int]
    polarity: Polarity

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray):
            raise TypeError(f"map of {self.layer}: values are a {type(self.values).__name__}, not a numpy array")
        if self.values.ndim != len(self.dims):
            raise ValueError(f"map of {self.layer}: dims {self.dims} do not fit shape {self.values.shape}")


@dataclass(frozen=True, slots=True, init=False)
class Table:
    """Columns of equal length by name. A table of a per-image result has a column `image` of image ids.

    Example:
        >>> table = Table(channel=[0, 1], mean=[0.5, 0.25])
        >>> table["mean"].tolist(), len(table)
        ([0.5, 0.25], 2)
    """

    columns: Mapping[str, np.ndarray]

    def __init__(self, columns: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        arrays = {name: np.asarray(values) for name, values in {**(columns or {}), **more}.items()}
        if not all(isinstance(name, str) for name in arrays):
            raise ValueError(f"the columns of a table have names, not {', '.join(map(repr, arrays))}")
        if len({array.shape for array in arrays.values()}) > 1 or any(a.ndim != 1 for a in arrays.values()):
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ValueError(f"the columns of a table are equally long lists, not {shapes}")
        object.__setattr__(self, "columns", arrays)

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples of plain Python values, in the order of the columns."""
        return zip(*(column.tolist() for column in self.columns.values()), strict=True)

    def where(self, column: str, *values: Any) -> Table:
        """Return the rows whose `column` equals one of the values."""
        chosen = np.isin(self.columns[column], values)
        return Table({name: array[chosen] for name, array in self.columns.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Typed arrays and tables of one step: the truth, from which pictures are drawn.

    A visualizer fills `maps` and `tables`; images and targets are added to what it returns.

    Attributes:
        maps: By layer, or by whatever tells them apart.
        tables: By name.
        images: The images that it is about, in the order of the `image` dim.
        targets: What was differentiated, image by image: one for each, or as many as the target asked for the top
            classes; empty without a target.
    """

    maps: Mapping[str, Map] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    images: tuple[InputImage, ...] = ()
    targets: tuple[Target, ...] = ()

    def targets_of(self, image: str) -> tuple[Target, ...]:
        """Return what was differentiated for the image of this id; empty without a target."""
        each_has = len(self.targets) // max(len(self.images), 1)
        position = next(place for place, each in enumerate(self.images) if each.id == image)
        return self.targets[position * each_has : (position + 1) * each_has]

    def select(self, *ids: str) -> Result:
        """Return the part of a per-image result that is about the images of these ids, in their order.

        Raises:
            InputError: If it is not about one of these images, or is about the whole set.
        """
        positions = {image.id: position for position, image in enumerate(self.images)}
        if missing := [each for each in ids if each not in positions]:
            raise InputError(f"the result is not about image {missing[0]!r}", hint=did_you_mean(missing[0], positions))
        chosen = [positions[each] for each in ids]
        return Result(
            maps={
                name: replace(each, values=_per_image(name, each, each.dims).values[chosen])
                for name, each in self.maps.items()
            },
            tables={
                name: _per_image(name, table, table.columns).where("image", *ids) for name, table in self.tables.items()
            },
            images=tuple(self.images[position] for position in chosen),
            targets=tuple(target for each in ids for target in self.targets_of(each)),
        )


def _per_image(name: str, part: Part, axes: Iterable[str]) -> Part:
    if "image" not in axes:
        raise InputError(f"{name!r} is about the whole set of images, not about each")
    return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A finished picture.

    Attributes:
        name: Tells it from the step's other figures of the same image: usually the layer.
        picture: The pixels, with title, colour bar and labels in them.
        caption: What the reader sees, in words: layer, scope of normalisation, how it is drawn.
        alt: The same for those who do not see it: where the maximum is, the range, the target.
    """

    name: str
    picture: Image
    caption: str
    alt: str


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
