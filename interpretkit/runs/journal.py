"""The journal of a run: records as they are written while it goes on, read back, and folded into its manifest.

A file is written before its record: what the journal does not name does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from interpretkit.runs.files import append, existing, storage_errors
from interpretkit.runs.records import (
    ArrayRecord,
    ExpectationRecord,
    FigureRecord,
    ImageRecord,
    MapRecord,
    ModelRecord,
    Record,
    RunRecord,
    RunStatus,
    StepRecord,
    StepStatus,
    TableRecord,
    Targets,
    VerdictRecord,
    VolatileRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from interpretkit.results.image import InputImage

JOURNAL = "journal.jsonl"
EARLIER_JOURNALS = ("events.jsonl",)
"""What earlier versions called it."""


def _now() -> str:
    return datetime.now(tz=UTC).isoformat()


class Entry(Record):
    """A line of the journal: something that is true from then on."""

    time: str = Field(default_factory=_now)


class Begun(Entry):
    """The run has begun: all that is known of it before the first pass."""

    kind: Literal["run"] = "run"
    run: RunRecord


class ModelKnown(Entry):
    """A model is ready; in the place of what was known of it before."""

    kind: Literal["model"] = "model"
    key: str
    model: ModelRecord


class FileKept(Entry):
    """A file that belongs to no step and no image is there."""

    kind: Literal["file"] = "file"
    file: str
    sha256: str


class ImageKept(Entry):
    """An image has gone through the models; `files` are its pictures, with their hashes."""

    kind: Literal["image"] = "image"
    image: ImageRecord
    files: dict[str, str]


class ImageUnread(Entry):
    """An image cannot be read and is left out."""

    kind: Literal["unread"] = "unread"
    error: str


class ResultKept(Entry):
    """The result of a step for some images is there; a reduction has no files until it is finished.

    Attributes:
        targets: What was differentiated, by image.
        nonfinite: How many cells of the maps are NaN or infinite.
        tables: As they are now: a table grows from batch to batch.
        files: The hash of each file of maps.
    """

    kind: Literal["result"] = "result"
    step: str
    targets: dict[str, Targets] = Field(default_factory=dict)
    nonfinite: int = 0
    maps: tuple[MapRecord, ...] = ()
    arrays: tuple[ArrayRecord, ...] = ()
    tables: tuple[TableRecord, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)


class FigureKept(Entry):
    """A figure is there."""

    kind: Literal["figure"] = "figure"
    step: str
    figure: FigureRecord
    sha256: str


class Judged(Entry):
    """Checks have judged a result."""

    kind: Literal["verdicts"] = "verdicts"
    step: str
    verdicts: tuple[VerdictRecord, ...]


class Expected(Entry):
    """An expectation has been held against the results."""

    kind: Literal["expectation"] = "expectation"
    expectation: ExpectationRecord


class Alerted(Entry):
    """A step has said what a reader must know."""

    kind: Literal["alert"] = "alert"
    step: str
    text: str


class StepFailed(Entry):
    """A step has failed, or was not tried since one that it reads has."""

    kind: Literal["failure"] = "failure"
    step: str
    status: StepStatus
    error: str
    traceback: str


class StepDone(Entry):
    """A step has all that it will have."""

    kind: Literal["done"] = "done"
    step: str


class Told(Entry):
    """Something happened that changes no record: what whoever started the run was shown."""

    kind: Literal["event"] = "event"
    event: str
    facts: dict[str, Any]


class Ended(Entry):
    """Nothing more will be computed."""

    kind: Literal["end"] = "end"
    status: RunStatus


AnyEntry = (
    Begun
    | ModelKnown
    | FileKept
    | ImageKept
    | ImageUnread
    | ResultKept
    | FigureKept
    | Judged
    | Expected
    | Alerted
    | StepFailed
    | StepDone
    | Told
    | Ended
)
_ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(Annotated[AnyEntry, Field(discriminator="kind")])


def write_entry(run: Path, entry: AnyEntry) -> None:
    """Add a line to the journal of the run that is written in `run`.

    Raises:
        StorageError: If it cannot be written in full; then the journal is as it was.
    """
    append(run, JOURNAL, entry.encode() + b"\n")


def read_journal(run: Path) -> Iterator[AnyEntry]:
    """Yield the entries of a run's journal, in their order.

    A line that is not whole was being written when the process ended: it and what may follow do not count.

    Raises:
        StorageError: If there is no journal, or it cannot be read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_entry(Path(folder), StepDone(step="cam"))
        ...     with (Path(folder) / JOURNAL).open("a") as journal:
        ...         _ = journal.write('{"time": "2026-01-0')
        ...     [entry.kind for entry in read_journal(Path(folder))]
        ['done']
    """
    path = existing(run, JOURNAL)
    with storage_errors("read", path), path.open("rb") as lines:
        for line in lines:
            try:
                entry = _ENTRY.validate_json(line)
            except ValueError:
                return
            yield entry


def fold(entries: Iterable[AnyEntry]) -> RunRecord:
    """Return what the entries of a journal come to, the first of which that counts says what was begun.

    Raises:
        ValueError: If none says that.
    """
    folding = _Folding()
    for entry in entries:
        folding.take(entry)
    return folding.run()


@dataclass(slots=True)
class _Step:
    """What a step has left so far."""

    begun: StepRecord
    status: StepStatus = "interrupted"
    error: str = ""
    nonfinite: int = 0
    alerts: dict[str, None] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)
    maps: list[MapRecord] = field(default_factory=list)
    arrays: list[ArrayRecord] = field(default_factory=list)
    tables: dict[str, TableRecord] = field(default_factory=dict)
    figures: list[FigureRecord] = field(default_factory=list)
    verdicts: list[VerdictRecord] = field(default_factory=list)

    def fail(self, entry: StepFailed) -> None:
        """Note why; what comes after is a consequence of that."""
        if not self.error:
            self.status, self.error = entry.status, entry.error

    def done(self) -> None:
        """Note that it is complete, unless it has failed."""
        if not self.error:
            self.status = "complete"

    def add(self, entry: ResultKept) -> None:
        """Add a part of its result."""
        self.nonfinite += entry.nonfinite
        self.targets |= entry.targets
        self.maps += entry.maps
        self.arrays += entry.arrays
        self.tables |= {table.name: table for table in entry.tables}

    def record(self) -> StepRecord:
        """Return its record."""
        facts = {
            "status": self.status,
            "error": self.error,
            "nonfinite": self.nonfinite,
            "alerts": tuple(self.alerts),
            "targets": self.targets,
            "maps": tuple(self.maps),
            "arrays": tuple(self.arrays),
            "tables": tuple(self.tables.values()),
            "figures": tuple(self.figures),
            "verdicts": tuple(self.verdicts),
        }
        return self.begun.model_copy(update=facts)


def alerts_of(images: Iterable[ImageRecord | InputImage]) -> list[str]:
    """Return what whoever reads a run must know of its images: what is said of many is said once.

    Example:
        >>> about = {"sha256": "", "size": (1, 1), "conversions": (), "label": None, "pictures": {}}
        >>> images = [ImageRecord(id=name, source=name, alerts=("page 1 of 2",), **about) for name in "ab"]
        >>> alerts_of(images)
        ['page 1 of 2 (2 images, the first is a)']
    """
    sources: dict[str, list[str]] = {}
    for image in images:
        for alert in image.alerts:
            sources.setdefault(alert, []).append(image.source)
    return [
        f"{said[0]}: {alert}" if len(said) == 1 else f"{alert} ({len(said)} images, the first is {said[0]})"
        for alert, said in sources.items()
    ]


class _Folding:
    """Takes in one entry after the other."""

    def __init__(self) -> None:
        self._begun: RunRecord | None = None
        self._times: list[float] = []
        self._status: RunStatus = "interrupted"
        self._unread: list[str] = []
        self._models: dict[str, ModelRecord] = {}
        self._inputs: list[ImageRecord] = []
        self._expectations: list[ExpectationRecord] = []
        self._steps: dict[str, _Step] = {}
        self._files: dict[str, str] = {}
        self._tracebacks: dict[str, str] = {}

    def take(self, entry: AnyEntry) -> None:
        """Take in an entry."""
        time = datetime.fromisoformat(entry.time).timestamp()
        self._times = [*self._times[:1], time]
        match entry:
            case Begun():
                self._begin(entry.run)
            case ModelKnown():
                self._models[entry.key] = entry.model
            case FileKept():
                self._files[entry.file] = entry.sha256
            case ImageKept():
                self._inputs.append(entry.image)
                self._files |= entry.files
            case ImageUnread():
                self._unread.append(f"Not in this run: {entry.error}")
            case Expected():
                self._expectations.append(entry.expectation)
            case Ended():
                self._status = entry.status
            case ResultKept() | FigureKept() | Judged() | Alerted() | StepFailed() | StepDone():
                self._take_of_step(entry)

    def _begin(self, run: RunRecord) -> None:
        self._begun = run
        self._models = dict(run.models)
        self._steps = {step.id: _Step(step) for step in run.steps}

    def _take_of_step(self, entry: ResultKept | FigureKept | Judged | Alerted | StepFailed | StepDone) -> None:
        step = self._steps[entry.step]
        match entry:
            case ResultKept():
                step.add(entry)
                self._files |= entry.files | {table.file: table.sha256 for table in entry.tables}
            case FigureKept():
                step.figures.append(entry.figure)
                self._files[entry.figure.file] = entry.sha256
            case Judged():
                step.verdicts += entry.verdicts
            case Alerted():
                step.alerts[entry.text] = None
            case StepFailed():
                step.fail(entry)
                if entry.traceback:
                    self._tracebacks.setdefault(entry.step, entry.traceback)
            case StepDone():
                step.done()

    def run(self) -> RunRecord:
        """Return what all entries come to."""
        if self._begun is None:
            raise ValueError("the journal does not say what was begun")
        steps = tuple(step.record() for step in self._steps.values())
        said = [f"Step {step.id}: {alert}" for step in steps for alert in step.alerts]
        started, finished = self._times[0], self._times[-1]
        facts = {
            "status": self._status,
            "alerts": (*self._begun.alerts, *self._unread, *alerts_of(self._inputs), *said),
            "models": self._models,
            "inputs": tuple(self._inputs),
            "steps": steps,
            "expectations": tuple(self._expectations),
            "files": dict(sorted(self._files.items())),
            "volatile": VolatileRecord(
                started=started, finished=finished, seconds=finished - started, tracebacks=self._tracebacks
            ),
        }
        return self._begun.model_copy(update=facts)
