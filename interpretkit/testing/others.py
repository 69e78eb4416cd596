"""What every check, reader, exporter and executor should pass."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np

from interpretkit.contracts.check import Check
from interpretkit.contracts.executor import Executor
from interpretkit.contracts.exporter import Exporter
from interpretkit.contracts.kinds import CHECK, EXECUTOR, EXPORTER, READER, Kind
from interpretkit.contracts.reader import Reader
from interpretkit.results.image import InputImage
from interpretkit.results.map import Map
from interpretkit.results.result import Result
from interpretkit.results.stored import Stored
from interpretkit.results.verdict import Status, Verdict
from interpretkit.testing.named import Subject, require
from interpretkit.testing.same import copied, require_same
from interpretkit.testing.tiny import SIZE, tiny_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpretkit.runs.run import Run

_GARBAGE = bytes(range(256)) * 4
_SAID = [field.name for field in fields(Stored) if field.name != "values"]
_AHEAD = 1000
"""So many shards may be taken before the first result is asked for: a pool's, but not all there are."""


class CheckSubject(Subject[Check]):
    """A check about to be checked.

    Args:
        offer: Its class.
        results: What to judge, each of one image or of the whole set; by default an attribution map of random values.
        options: Its options.
    """

    kind: ClassVar[Kind[Any]] = CHECK
    names = (*Subject.names, "verdicts", "same_twice", "judging_changes_nothing")

    def __init__(self, offer: type[Check], *, results: Sequence[Result] | None = None, **options: Any) -> None:
        super().__init__(offer, **options)
        self._given = [_attribution()] if results is None else list(results)

    @property
    def _results(self) -> list[Result]:
        """Copies of the results: what judges one check must not have been changed by another."""
        return [copied(result) for result in self._given]

    def _judged(self, result: Result) -> Verdict:
        """Have a result judged, held against itself under every condition."""
        return self.made.judge(result, **dict.fromkeys(self.made.compares, copied(result)))

    def verdicts(self) -> None:
        """Each result gets a verdict, with a number, a threshold and a sentence."""
        for result in self._results:
            verdict: object = self._judged(result)
            if not isinstance(verdict, Verdict):
                raise AssertionError(f"judge() returns a {type(verdict).__name__}, not a Verdict")  # noqa: TRY004
            statuses = get_args(Status)
            require(verdict.status in statuses, f"the status is {verdict.status!r}, not {' or '.join(statuses)}")
            require(bool(verdict.text.strip()), "the verdict has no text")
            float(verdict.figure), float(verdict.threshold)

    def same_twice(self) -> None:
        """The same result gets the same verdict."""
        for result in self._results:
            first, second = self._judged(result), self._judged(result)
            require(repr(first) == repr(second), f"judged twice, the verdicts differ: {first} and {second}")

    def judging_changes_nothing(self) -> None:
        """Judging leaves the result as it was."""
        judged = self._results
        for result in judged:
            self._judged(result)
        require_same(self._given, judged, "judge() changed the result", tolerance=0.0)


class ReaderSubject(Subject[Reader]):
    """A reader about to be checked.

    Args:
        offer: Its class.
        files: Files that it reads.
        options: Its options.
    """

    kind: ClassVar[Kind[Any]] = READER
    names = (*Subject.names, "suffixes", "reads", "same_twice", "garbage")

    def __init__(self, offer: type[Reader], *, files: Sequence[str | Path], **options: Any) -> None:
        super().__init__(offer, **options)
        self._files = [Path(file) for file in files]

    def suffixes(self) -> None:
        """The files have its suffixes."""
        for file in self._files:
            require(file.name.lower().endswith(self.offer.suffixes), f"{file.name} has none of its suffixes")

    def reads(self) -> None:
        """Each file has pages, its first and its last are stored values, and what was done to them is in words."""
        for file in self._files:
            count: object = self.made.pages(file)
            require(isinstance(count, int) and count > 0, f"{file.name}: pages() returns {count!r}")
            for page in {0, self.made.pages(file) - 1}:
                stored: object = self.made.read(file, page)
                if not isinstance(stored, Stored):
                    raise AssertionError(f"{file.name}: a {type(stored).__name__}, not Stored")  # noqa: TRY004
                for done in (stored.conversions, stored.alerts):
                    in_words = isinstance(done, tuple) and all(isinstance(each, str) for each in done)
                    require(in_words, f"{file.name}: what was done is {done!r}, not a tuple of texts")

    def same_twice(self) -> None:
        """A file read twice is the same."""
        for file in self._files:
            first, second = self.made.read(file, 0), self.made.read(file, 0)
            same = first.values.dtype == second.values.dtype and np.array_equal(first.values, second.values)
            alike = all(getattr(first, name) == getattr(second, name) for name in _SAID)
            require(same and alike, f"{file.name}: read twice, it differs")

    def garbage(self) -> None:
        """What is no such file is refused, not made an image of."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"garbage{self.offer.suffixes[0]}")
            file.write_bytes(_GARBAGE)
            try:
                self.made.read(file, 0)
            except Exception:  # noqa: BLE001 - in whatever way
                return
        raise AssertionError("bytes from 0 to 255 were read as an image")


class ExporterSubject(Subject[Exporter]):
    """An exporter about to be checked.

    Args:
        offer: Its class.
        run: What to export; by default `tiny_run`.
        options: Its options.
    """

    kind: ClassVar[Kind[Any]] = EXPORTER
    names = (*Subject.names, "exports", "existing_folder", "run_unchanged")

    def __init__(self, offer: type[Exporter], *, run: Run | None = None, **options: Any) -> None:
        super().__init__(offer, **options)
        self._given = run

    def exports(self) -> None:
        """It makes the folder, and returns a path in it, or the folder."""
        with self._place() as (run, root):
            folder = root / "new" / "folder"
            written: object = self.made.export(run, folder)
            if not isinstance(written, Path):
                raise AssertionError(f"export() returns a {type(written).__name__}, not a Path")  # noqa: TRY004
            require(written.is_relative_to(folder), f"{written} lies outside of the folder")
            require(written.exists() and any(folder.iterdir()), f"there is nothing at {written}")

    def existing_folder(self) -> None:
        """It writes into a folder that is there, and leaves what else is in it."""
        with self._place() as (run, folder):
            note = folder / "note.txt"
            note.write_text("mine")
            self.made.export(run, folder)
            require(note.is_file() and note.read_text() == "mine", "a file that was in the folder is gone")

    def run_unchanged(self) -> None:
        """The run is as it was."""
        with self._place() as (run, root):
            before = _contents(run.path)
            self.made.export(run, root / "new")
            require(_contents(run.path) == before, "files of the run were changed")

    @contextmanager
    def _place(self) -> Iterator[tuple[Run, Path]]:
        """Yield the run, and a folder to export into."""
        with tempfile.TemporaryDirectory(prefix="interpretkit-") as name:
            root = Path(name, "output")
            root.mkdir()
            yield self._given or tiny_run(Path(name, "run")), root


class ExecutorSubject(Subject[Executor]):
    """An executor about to be checked."""

    kind: ClassVar[Kind[Any]] = EXECUTOR
    names = (*Subject.names, "order", "lazy", "errors")

    def order(self) -> None:
        """What comes of the shards comes in their order, each once."""
        for count in (0, 1, 7):
            found = list(self.made.map(doubled, range(count)))
            require(found == [2 * each for each in range(count)], f"of {count} shards it made {found}")

    def lazy(self) -> None:
        """Shards are taken as they can be worked on, not all at once: they may be more than memory holds."""
        found = list(itertools.islice(self.made.map(doubled, _bounded()), 3))
        require(found == [0, 2, 4], f"the first three are {found}")

    def errors(self) -> None:
        """What the work raises reaches the caller."""
        try:
            list(self.made.map(refused, [1]))
        except ZeroDivisionError:
            return
        raise AssertionError("an exception of the work was lost")


def doubled(shard: int) -> int:
    """Return twice a number: a work that other processes can import."""
    return 2 * shard


def refused(shard: int) -> float:
    """Raise ZeroDivisionError."""
    return shard / 0


def _bounded() -> Iterator[int]:
    yield from range(_AHEAD)
    raise AssertionError(f"more than {_AHEAD} shards were taken, and nobody had asked for so many results")


def _attribution() -> Result:
    """Return a made-up attribution of one image."""
    side = SIZE // 2
    values = np.random.default_rng(0).standard_normal((1, side, side)).astype(np.float32)
    extent = {"y": SIZE, "x": SIZE}
    found = Map(values=values, dims=("image", "y", "x"), layer="features", extent=extent, polarity="signed")
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    image = InputImage(id="image0", source="made up", sha256="0", size=(SIZE, SIZE), pixels=pixels)
    return Result(maps={"features": found}, images=(image,))


def _contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
