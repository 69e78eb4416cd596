"""What a run says of itself, typed: the records that its manifest and its journal hold, with one codec for all."""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from interpretkit.digests import plain

RunStatus = Literal["complete", "failed", "interrupted"]
StepStatus = Literal["complete", "failed", "skipped", "interrupted"]


class Record(BaseModel):
    """Facts that are stored: frozen, of strict types, the same in Python and in JSON.

    Keys that a type does not know are passed over: a later version of the same format may say more.

    Example:
        >>> record = FigureRecord.from_facts(file="figures/cam/a.png", image=None, name="a", caption="", alt="")
        >>> FigureRecord.decode(record.encode()) == record
        True
    """

    model_config = ConfigDict(frozen=True, strict=True, populate_by_name=True)

    @classmethod
    def from_facts(cls, **facts: Any) -> Self:
        """Return the record of live facts: numpy's numbers, paths, tuples and NaN become what JSON has."""
        return cls.decode(json.dumps(plain(facts)).encode())

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """Return the record that a JSON text holds.

        Raises:
            ValueError: If it holds none of this type.
        """
        return cls.model_validate_json(text)

    def encode(self) -> bytes:
        """Return the record as JSON, on one line; its keys stay in their order."""
        return self.model_dump_json(by_alias=True).encode()

    def as_data(self) -> dict[str, Any]:
        """Return the record as JSON data."""
        return self.model_dump(mode="json", by_alias=True)


class PluginRecord(Record):
    """A plugin: its package, and the distribution and version that it came in."""

    package: str
    distribution: str
    version: str


class RecipeRecord(Record):
    """The recipe: where it was read, and the hash of its text."""

    source: str
    sha256: str


class WeightsRecord(Record):
    """Where a model's weights come from, and how they fitted.

    Attributes:
        state_sha256: The hash of the values, empty until it is known.
        key: Which of several sets of weights in the file.
        prefix: What was taken off the names of the tensors.
        missing: The tensors of the network that the file does not have.
        left_out: The tensors of the file that the network does not have.
    """

    kind: str
    source: str
    sha256: str
    fallback: str
    state_sha256: str
    key: str = ""
    prefix: str = ""
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class ModelRecord(Record):
    """A model as it was looked into.

    Attributes:
        classes: How many of its classes have a name.
        class_names: The names that the recipe gave its classes, by index.
        outputs: What each output is, in words, as far as it is known.
        shown: Which channels of its input pictures show, in words, where these are not all.
    """

    name: str
    uses: str
    plugin: PluginRecord
    options: dict[str, Any]
    weights: WeightsRecord
    notes: tuple[str, ...]
    alert: str = ""
    preprocessing: dict[str, Any] | str
    parameters: int
    classes: int
    class_names: tuple[str, ...] = ()
    outputs: dict[str, str] = Field(default_factory=dict)
    shown: str = ""


class PredictionRecord(Record):
    """Something that a model finds in an image; a number that is none is None."""

    index: int
    label: str
    score: float | None
    quantity: str = "logit"
    unit: str = ""
    probability: float | None


class MaskRecord(Record):
    """A mask as it lies on what a model was fed: the hash of its values, and the share of pixels inside."""

    sha256: str
    inside: float


class ImageRecord(Record):
    """An image: what it was, and by model what was fed of it and what the model made of that."""

    id: str
    source: str
    sha256: str
    size: tuple[int, int]
    conversions: tuple[str, ...]
    alerts: tuple[str, ...] = ()
    label: str | None
    pictures: dict[str, str]
    masks: dict[str, MaskRecord] = Field(default_factory=dict)
    predictions: dict[str, tuple[PredictionRecord, ...]] = Field(default_factory=dict)


class RegionRecord(Record):
    """The pixels that a score is summed over: lengths of runs, first outside, then inside, and so on."""

    size: tuple[int, ...]
    runs: tuple[int, ...]


class TargetRecord(Record):
    """What was differentiated for an image; a number that is none is None."""

    spec: int | str | dict[str, Any]
    label: str
    score: float | None
    quantity: str
    unit: str = ""
    saturated: bool = False
    probability: float | None
    against_label: str
    region: RegionRecord | None = None
    vector_sha256: str = ""


Targets = tuple[TargetRecord, ...]


class ArrayRecord(Record):
    """An array of a step: where it is, what it is about, and the hash of its dtype, shape and values."""

    file: str
    key: str
    image: str | None
    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]
    sha256: str


class MapRecord(ArrayRecord):
    """An array with a geometry; earlier runs do not say the `spacing` of its cells."""

    layer: str
    extent: dict[str, int]
    spacing: dict[str, tuple[float, float]] = {}
    polarity: Literal["signed", "unsigned"]


class TableRecord(Record):
    """A table of a step: dtypes by column, and how long the file is; the first runs do not say its `bytes`."""

    file: str
    name: str
    rows: int
    columns: dict[str, str]
    bytes: int | None = None
    sha256: str


class FigureRecord(Record):
    """A picture, with its words; `image` is None where it is about the whole set."""

    file: str
    image: str | None
    name: str
    caption: str
    alt: str


class VerdictRecord(Record):
    """What a check says of a result; `image` is None where it is about the whole set, a number that is none is None."""

    check: str
    image: str | None
    status: Literal["pass", "warn", "fail", "not applicable"]
    figure: float | None
    threshold: float | None
    text: str


class ExpectationRecord(Record):
    """What a recipe expects of a number of the run, and whether it is so.

    Attributes:
        name: What it is about, as the recipe says it.
        wanted: What it should be, in the same way.
        figure: What it is; None where there is no such number.
        limit: What it was compared with.
        passed: Whether it is as expected.
        text: What it is, in words.
    """

    name: str
    wanted: str
    figure: float | None
    limit: float
    passed: bool
    text: str

    def __str__(self) -> str:
        return f"{self.name} {self.wanted}: {self.text}"


class StepRecord(Record):
    """A step: what it was, how it ended, and what it left.

    Attributes:
        scope: Whether its result is about each image, or about the whole set.
        status: `interrupted` also while it goes on.
        error: Why it has failed or was skipped, in one line.
        nonfinite: How many cells of its maps are NaN or infinite.
        alerts: What it said that a reader must know.
        targets: What was differentiated, by image.
        verdicts: What checks say of its result.
    """

    id: str
    uses: str
    plugin: PluginRecord
    model: str
    of: tuple[str, ...]
    options: dict[str, Any]
    layers: tuple[str, ...]
    scope: Literal["image", "set"]
    status: StepStatus = "interrupted"
    error: str = ""
    nonfinite: int = 0
    alerts: tuple[str, ...] = ()
    targets: dict[str, Targets] = Field(default_factory=dict)
    maps: tuple[MapRecord, ...] = ()
    arrays: tuple[ArrayRecord, ...] = ()
    tables: tuple[TableRecord, ...] = ()
    figures: tuple[FigureRecord, ...] = ()
    verdicts: tuple[VerdictRecord, ...] = ()


class VolatileRecord(Record):
    """What differs between two runs of the same recipe, and is not part of the seal.

    Attributes:
        started: When, in seconds since 1970.
        finished: When, in the same.
        seconds: Between the two.
        tracebacks: Of the exceptions that steps failed with, by step.
    """

    started: float | None = None
    finished: float | None = None
    seconds: float | None = None
    tracebacks: dict[str, str] = Field(default_factory=dict)


class RunRecord(Record):
    """A run: what `manifest.json` says.

    Attributes:
        alerts: What a reader must know before anything else.
        expectations: What the recipe expects of it, in its order.
        files: The hash of each file, by its path in the run; not of the manifest, nor of the journal.
        seal: The hash of all of this but `volatile`.
    """

    schema_: str = Field(alias="schema")
    name: str
    id: str
    status: RunStatus = "interrupted"
    interpretkit: str | None
    command: str
    recipe: RecipeRecord
    alerts: tuple[str, ...]
    models: dict[str, ModelRecord]
    inputs: tuple[ImageRecord, ...]
    steps: tuple[StepRecord, ...]
    expectations: tuple[ExpectationRecord, ...] = ()
    numerics: dict[str, Any]
    environment: dict[str, Any]
    volatile: VolatileRecord = VolatileRecord()
    files: dict[str, str]
    seal: str = ""
