"""The entries of a recipe, each a closed set of keys: models, weights, steps, numerics."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from interpretkit.errors import RecipeError, together
from interpretkit.recipe.described import Described
from interpretkit.recipe.node import Node
from interpretkit.recipe.refusal import explain

if TYPE_CHECKING:
    from collections.abc import Mapping

_WEIGHTS = {
    "path": "PathWeights",
    "hub": "HubWeights",
    "package": "PackageWeights",
    "published": "PublishedWeights",
}
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def _slug(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", text) or text.endswith("."):
        raise ValueError(
            f"{text[:80]!r} is no name: up to 80 letters, digits, '.', '_', '-', first a letter or digit, last no '.'"
        )
    if _RESERVED.fullmatch(text):
        raise ValueError(f"{text!r} is no name: Windows keeps it for a device")
    return text


def _plugin_id(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
        raise ValueError(
            f"{text[:80]!r} is no id (lower-case letters, digits, '_'): a recipe names registered ids, never code"
        )
    return text


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?|mps", text):
        raise ValueError(f"auto, cpu, cuda, cuda:N or mps is wanted, not {text[:80]!r}")
    return text


def _sha256(text: str) -> str:
    if text and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("64 hexadecimal digits are wanted")
    return text.lower()


def _package(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        raise ValueError(f"the name of a package is wanted, as pip knows it, not {text[:80]!r}")
    return text


def _class_name(text: str) -> str:
    if not text.strip():
        raise ValueError("a name of a class is empty")
    return text


def _distinct(names: list[str]) -> list[str]:
    if not names:
        raise ValueError("there are no names")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"there are {count} names {name!r}")
    return names


def _repository(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise ValueError(f"owner/name is wanted, not {text[:80]!r}")
    return text


def _range(ends: list[float]) -> list[float]:
    low, high = ends
    if low >= high:
        raise ValueError(f"the first of two values is below the second, not {low:g} and {high:g}")
    return ends


def _unique(items: list[Any]) -> list[Any]:
    if len(set(items)) < len(items):
        raise ValueError(f"each stands once, not {', '.join(map(str, items))}")
    return items


def _axes(axes: list[str]) -> list[str]:
    if not {"y", "x"} <= {*axes}:
        raise ValueError("an image has the axes y and x")
    return _unique(axes)


def _weights_kind(value: Any) -> str | None:
    """Tell by its keys which kind of weights an entry asks for."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    if isinstance(value, dict):
        kinds = [kind for key, kind in _WEIGHTS.items() if key in value]
        return kinds[0] if len(kinds) == 1 else None
    if value in ("random", "builtin"):
        return str(value)
    return "PublishedWeights" if value == "DEFAULT" else None


def _published(value: Any) -> Any:
    """Write out the short form."""
    return {"published": value} if value == "DEFAULT" else value


Slug = Annotated[str, AfterValidator(_slug)]
PluginId = Annotated[str, AfterValidator(_plugin_id)]
Filled = Annotated[str, Field(min_length=1)]
ClassNames = Annotated[list[Annotated[str, AfterValidator(_class_name)]], AfterValidator(_distinct)]
Length = Annotated[int, Field(ge=1, le=2**13)]
Lengths = Length | Annotated[list[Length], Field(min_length=2, max_length=2)]
Numbers = Annotated[list[float], Field(min_length=1)]
Spread = Annotated[float, Field(gt=0)]
LABELS = "labels"
"""The word for class names that are the labels of the inputs."""


class Entry(Described):
    """A mapping of a recipe with known keys: others, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        """Return plain data, with the keys of a recipe, as an entry.

        Raises:
            RecipeError: If it does not fit.

        Example:
            >>> Numerics.parse({"seed": 7}).seed
            7
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            refusals = explain(error, cls, data)
            faults = [RecipeError(refusal.message, hint=refusal.hint) for refusal in refusals]
            raise together(faults) from error


class Placed(Entry):
    """An entry that knows where each of its parts stands, and which of them could not be read."""

    _node: Node = PrivateAttr(default_factory=lambda: Node({}, ""))
    _unread: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def unread(self) -> frozenset[str]:
        """The keys that could not be read, since they or the keys that stand for them are at fault."""
        return self._unread

    def put_at(self, node: Node, unread: frozenset[str] = frozenset()) -> None:
        """Say where in the text the entry stands, and what of it could not be read; whoever reads it does that."""
        self._node = node
        self._unread = unread

    def place(self, *loc: str | int, part: Literal["key", "value"] = "value") -> str:
        """Return where something stands: `file:line:column` from 1, or the `--set #n` that put it there.

        Args:
            *loc: Keys and indices on the way to it, such as `"with", "layers", 0`. If nothing stands there, the
                nearest thing around it counts.
            part: Whether the place of the key or of the value is wanted.
        """
        return self._node.place_of(loc, part)

    def as_typed(self, *loc: str | int) -> Any:
        """Return what was typed there, as plain data; None if nothing stands there."""
        node: Node | None = self._node
        for part in loc:
            node = node.child(part) if node else None
        return node.plain() if node else None

    def keys_typed(self) -> tuple[str, ...]:
        """Return the keys that were typed, unknown ones included."""
        return tuple(self._node.value) if isinstance(self._node.value, dict) else ()

    def place_of_word(self, word: Any, *, option: str = "") -> str:
        """Return the place of a word, or of a list of words, among the options, or in what is said of weights.

        Args:
            word: What is looked for; a pattern of layers without its `!`. If it is None or stands nowhere, the place is
                that of `uses:`.
            option: The option to look into first.
        """
        options = self._node.child("with")
        preferred = options.child(option) if options else None
        for node in (preferred, options, self._node.child("weights")):
            for each in node.walk() if node else ():
                if _says(each.plain(), word):
                    return each.place
        return self.place("uses")


def _says(value: Any, word: Any) -> bool:
    value = value.removeprefix("!") if isinstance(value, str) else value
    return word is not None and type(value) is type(word) and bool(value == word)


class FileWeights(Entry):
    """What is to be said of a file of weights, wherever it comes from."""

    key: str = ""
    """Which of several sets of weights in the file: its key, such as state_dict_ema, with dots between keys."""
    rename: dict[Filled, str] = {}  # noqa: RUF012 - pydantic copies it
    """First parts of names, up to a dot, and what the network calls them: {fc.1: fc}."""
    strict: bool = True
    """Whether every tensor must fit; if not, what is missing stays random, and what is extra is left out."""


class PathWeights(FileWeights):
    """Weights from a file."""

    path: Filled
    """The file, or a folder that has one under a name of the Hugging Face libraries."""
    sha256: Annotated[str, AfterValidator(_sha256)] = ""
    """What its SHA-256 must be, 64 hexadecimal digits; empty if anything goes."""


class PackageWeights(FileWeights):
    """Weights from a file of an installed Python package; none of its code is run."""

    package: Annotated[str, AfterValidator(_package)]
    """Its name, as pip knows it or as it is imported."""
    file: Filled
    """The only file of it that has this path or ends with it, where * stands for any part of a name: models/*.pth."""
    sha256: Annotated[str, AfterValidator(_sha256)] = ""
    """What its SHA-256 must be, 64 hexadecimal digits; empty if anything goes."""
    otherwise: Literal["random"] | None = None
    """What to use where the package is not installed; without it that is an error."""


class HubWeights(FileWeights):
    """Weights from a repository of the Hugging Face Hub."""

    hub: Annotated[str, AfterValidator(_repository)]
    """The repository, owner/name."""
    file: Filled | None = None
    """The file in it; by default model.safetensors, or else pytorch_model.bin, or the index of several such files."""
    revision: Filled = "main"
    """Branch, tag or commit."""
    otherwise: Literal["random"] | None = None
    """What to use where the weights cannot be had; without it that is an error."""


class PublishedWeights(Entry):
    """Weights that the model's authors publish."""

    published: Filled
    """Which of them: DEFAULT for the best, or a name that the model's plugin knows."""
    otherwise: Literal["random"] | None = None
    """What to use where the weights cannot be had; without it that is an error."""


Weights = Annotated[
    Annotated[Literal["random"], Tag("random")]
    | Annotated[Literal["builtin"], Tag("builtin")]
    | Annotated[PathWeights, Tag("PathWeights")]
    | Annotated[HubWeights, Tag("HubWeights")]
    | Annotated[PackageWeights, Tag("PackageWeights")]
    | Annotated[
        PublishedWeights,
        BeforeValidator(_published, json_schema_input_type=Literal["DEFAULT"] | PublishedWeights),
        Tag("PublishedWeights"),
    ],
    Discriminator(
        _weights_kind,
        custom_error_type="weights",
        custom_error_message="'random', 'builtin', 'DEFAULT', {path: file}, {package: name, file: path} or "
        "{hub: owner/name} is wanted",
    ),
]


_MEANT = {
    "mean": "0 subtracts nothing, and without the key the network's own is subtracted",
    "std": "1 divides by nothing, and without the key the network's own divides",
    "interpolation": "without the key, the network's own filter is taken",
}


class PreprocessingEntry(Entry):
    """What is done to an image before a model is fed it, where that differs from what its builder says."""

    resize: Lengths | None = None
    """Length of the shorter side in pixels, or [height, width]; null keeps the size of the image."""
    crop: Lengths | None = None
    """Side of the square in the middle in pixels, or [height, width]; null keeps the whole image."""
    mean: float | Numbers | None = None
    """Subtracted from each channel, whose values are 0 to 1; a single number from all, and 0 from none."""
    std: Spread | list[Spread] | None = None
    """Divides each channel; a single number all of them, and 1 none."""
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = None
    """Filter of the resize."""

    @field_validator("mean", "std", "interpolation", mode="before")
    @classmethod
    def _stated(cls, given: Any, info: ValidationInfo) -> Any:
        # Left out, the network's own stands; null might be meant as nothing at all, which is another number.
        if given is None:
            raise ValueError(f"null leaves open what is meant: {_MEANT[str(info.field_name)]}")
        return given


class ModelEntry(Placed):
    """A model of a recipe."""

    uses: PluginId
    """The id of a model plugin."""
    options: dict[str, Any] = Field(alias="with", default_factory=dict)
    """The plugin's options; the plugin checks them."""
    weights: Weights = "random"
    """Where its weights come from."""
    preprocessing: PreprocessingEntry | None = None
    """What is done to images, where it is not what the network's builder says: that of the script that trained it."""
    classes: Filled | ClassNames | None = None
    """Names of its classes by index; a file of them; or `labels`, the labels of the inputs in their order as text."""


class Columns(Entry):
    """What the columns of a manifest are called."""

    path: Filled = "path"
    """The column of paths."""
    label: Filled | None = None
    """The column of labels; by default `label`, if there is one."""
    mask: Filled | None = None
    """The column of paths of masks; by default `mask`, if there is one."""


class InputEntry(Placed):
    """An input of a recipe, with what is to be said of its files."""

    path: Filled
    """A file, a folder, a glob, a manifest, a sample."""
    labels: Literal["folder"] | None = None
    """folder: the label of an image is the name of the folder, directly below `path`, that it lies in."""
    columns: Columns | None = None
    """What the columns of a manifest are called."""
    range: Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_range)] | None = None
    """Which stored values are black and white."""
    bands: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1), AfterValidator(_unique)] | None = None
    """Which bands are shown, counted from 1, in this order."""
    pages: Literal["first", "each", "volume"] | None = None
    """What becomes of a file of several pages: the first is an image, each is one, or all are one volume.

    By default the first is, and an alert says so.
    """
    axes: Annotated[list[Literal["z", "y", "x", "channel"]], AfterValidator(_axes)] | None = None
    """The axes of arrays."""


def _input_kind(value: Any) -> str:
    return "mapping" if isinstance(value, dict | InputEntry) else "name"


Input = Annotated[
    Annotated[Filled, Tag("name")] | Annotated[InputEntry, Tag("mapping")],
    Discriminator(_input_kind),
]


class StepEntry(Placed):
    """A step of a recipe: one use of a visualizer."""

    id: Slug
    """What the step is called; it names a folder of the run."""
    uses: PluginId
    """The id of a visualizer plugin."""
    options: dict[str, Any] = Field(alias="with", default_factory=dict)
    """The plugin's options; the plugin checks them."""
    of: list[str] = []  # noqa: RUF012 - pydantic copies it
    """Ids of the steps whose results this one reads."""
    model: str | None = None
    """Which of the models it looks at, if there are several."""
    figures: bool = True
    """Whether to draw its figures; its results are there either way."""


def _check(given: Any) -> Any:
    return {"uses": given} if isinstance(given, str) else given


class CheckEntry(Placed):
    """A check of a recipe."""

    uses: PluginId
    """The id of a check."""
    options: dict[str, Any] = Field(alias="with", default_factory=dict)
    """The check's options, such as its thresholds; the plugin checks them."""


Check = Annotated[CheckEntry, BeforeValidator(_check, json_schema_input_type=PluginId | CheckEntry)]
"""A check by its id, or by its id and its options."""


_EXPECTED = re.compile(r"(?P<name>[^\[\]]+\.[^\[\]]+)(\[(?P<rows>[^\[\]]+)\])?")
_WANTED = re.compile(
    r"((?P<aggregate>mean|median|min|max|p[0-9]{2})\s+)?(?P<comparison><=|>=|==|<|>)\s*"
    r"(?P<limit>[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?)"
)


def _expectation(given: Any) -> Any:
    if not isinstance(given, dict) or len(given) != 1:
        raise ValueError("each expectation is one name with one comparison, such as where.pointing: '>= 0.8'")
    ((of, wanted),) = given.items()
    return {"of": of, "wanted": wanted}


def _expected(text: str) -> str:
    match = _EXPECTED.fullmatch(text)
    if not match:
        raise ValueError(f"STEP.NUMBER or STEP.NUMBER[COLUMN=VALUE] is wanted, not {text[:80]!r}")
    for part in (match["rows"] or "x=x").split(","):
        if not all(part.strip().partition("=")):
            raise ValueError(f"rows are chosen by [COLUMN=VALUE, …], not by {part.strip()!r}")
    return text


def _wanted(text: str) -> str:
    if not _WANTED.fullmatch(text.strip()):
        raise ValueError(
            "a comparison is wanted such as '>= 0.8', 'min > 0' or 'p05 >= 0.2' (mean, median, min, max, p00 to p99), "
            f"not {text[:80]!r}"
        )
    return text.strip()


class ExpectationEntry(Placed):
    """An expectation of a recipe: a number of the run, and what it should be."""

    of: Annotated[str, AfterValidator(_expected)]
    """STEP.COLUMN of a table, STEP.TABLE.COLUMN, or STEP.CHECK; rows by [COLUMN=VALUE]."""
    wanted: Annotated[str, AfterValidator(_wanted)]
    """An aggregate of the rows (mean, if none is said), a comparison and a number."""

    @property
    def name(self) -> str:
        """The step and what is asked of it, without the choice of rows."""
        return self.of.partition("[")[0].strip()

    @property
    def rows(self) -> dict[str, str]:
        """The values that rows must have, by column; empty for all rows."""
        inside = self.of.partition("[")[2].removesuffix("]")
        pairs = [part.partition("=") for part in inside.split(",") if part]
        return {column.strip(): value.strip() for column, _, value in pairs}

    @property
    def aggregate(self) -> str:
        """What becomes of the rows: `mean`, `median`, `min`, `max`, `p05`."""
        return self._parts["aggregate"] or "mean"

    @property
    def comparison(self) -> str:
        """`<`, `<=`, `>`, `>=` or `==`."""
        return str(self._parts["comparison"])

    @property
    def limit(self) -> float:
        """What the number is compared with."""
        return float(self._parts["limit"])

    @property
    def _parts(self) -> re.Match[str]:
        found = _WANTED.fullmatch(self.wanted)
        assert found  # noqa: S101 - the validator has seen it
        return found


Expectation = Annotated[ExpectationEntry, BeforeValidator(_expectation, json_schema_input_type=dict[str, str])]
"""A number of the run with what it should be."""


class Numerics(Entry):
    """How a run computes."""

    device: Annotated[str, AfterValidator(_device)] = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"
    """Type of weights and activations."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of every random generator."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Images in one pass."""
    deterministic: bool = True
    """Whether only operations are allowed that give the same numbers at every run."""
