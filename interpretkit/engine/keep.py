"""What one step leaves in a run: its results written, its figures drawn, its failure remembered."""

from __future__ import annotations

import time
import traceback
from dataclasses import asdict
from typing import TYPE_CHECKING

from interpretkit import figures, words
from interpretkit.digests import plain
from interpretkit.engine.batch import SkippedError, place
from interpretkit.engine.draw import draw
from interpretkit.engine.gather import Gather
from interpretkit.engine.judge import judge
from interpretkit.errors import InterpretkitError, StorageError
from interpretkit.runs.journal import Judged, StepDone, StepFailed
from interpretkit.runs.records import PluginRecord, StepRecord, VerdictRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.contracts.check import Check, Counterpart
    from interpretkit.contracts.registry import Plugin
    from interpretkit.engine.batch import StepOutcome
    from interpretkit.engine.events import Announcer
    from interpretkit.engine.resolve import Step
    from interpretkit.results.result import Result
    from interpretkit.runs.draft import Draft
    from interpretkit.runs.journal import ResultKept


class KeptStep:
    """Keeps what a step makes of batch after batch.

    A step that fails keeps what it had made for earlier images; a reduction that fails has no result, since one of
    a part of the set would pass for one of the whole.

    Args:
        step: The step.
        draft: Where to write.
        checks: What judges its results.
        announcer: Told of checks that fail.

    Attributes:
        failure: Why the step failed first; None if it has not.
        finished: Whether it has all that it will have.
    """

    def __init__(self, step: Step, draft: Draft, *, checks: Sequence[Check], announcer: Announcer) -> None:
        self.step = step
        self.failure: InterpretkitError | None = None
        self.finished = False
        self._draft = draft
        self._checks = checks
        self._announcer = announcer
        self._gathered: Gather | None = None
        self._of_parts: Mapping[Counterpart, Result | InterpretkitError] = {}
        self._seconds = 0.0
        self._nonfinite = 0
        self._maps = 0
        self._arrays = 0
        self._tables: set[str] = set()
        self._figures = 0

    def record(self) -> StepRecord:
        """Return its record before anything is computed."""
        return StepRecord(
            id=self.step.id,
            uses=self.step.visualizer.name,
            plugin=plugin_record(self.step.plugin),
            model=self.step.model,
            of=self.step.of,
            options=plain(self.step.visualizer.options.model_dump(by_alias=True)),
            layers=tuple(layer.name for layer in self.step.activations),
            scope="set" if self.step.per_set else "image",
        )

    def keep(self, outcome: StepOutcome) -> None:
        """Write and draw what the step has made of a batch, or take it into the reduction."""
        began = time.perf_counter()
        try:
            if outcome.failure is not None:
                raise outcome.failure
            if outcome.result is not None:
                self._keep(outcome.result, outcome.counterparts)
        except StorageError:
            raise
        except InterpretkitError as error:
            self._fail(error)
        self._seconds += outcome.seconds + time.perf_counter() - began

    def finish(self) -> None:
        """Write and draw a reduction, now that all images are in it."""
        began = time.perf_counter()
        if self._gathered is not None and self.failure is None:
            try:
                result = self._gathered.whole()
                self._count(self._draft.write_result(self.step.id, result, reduction=True))
                self._judge(result, self._of_parts)
                if self.step.figures:
                    self._draw(result)
            except StorageError:
                raise
            except InterpretkitError as error:
                self._fail(error)
        self._draft.record(StepDone(step=self.step.id))
        self.finished = True
        self._seconds += time.perf_counter() - began

    def summary(self) -> str:
        """Say in one line what the step has left."""
        if self.failure is not None:
            return str(self.failure)
        counts = {
            "map": self._maps,
            "array": self._arrays,
            "table": len(self._tables),
            "figure": self._figures,
        }
        made = [words.count(count, noun) for noun, count in counts.items() if count]
        left = ", ".join(made) or "nothing"
        remark = f"; {self._nonfinite} cells are NaN or infinite" if self._nonfinite else ""
        return f"{self.step.id}: {left} ({self._seconds:.1f} s){remark}"

    def _keep(self, result: Result, counterparts: Mapping[Counterpart, Result | InterpretkitError]) -> None:
        if self.step.per_set:
            # A whole set has none; this says why.
            self._of_parts = counterparts
            self._count(self._draft.note_part(self.step.id, result))
            self._gathered = self._gathered or Gather(self.step)
            self._gathered.add(result)
            return
        self._count(self._draft.write_result(self.step.id, result, reduction=False))
        self._judge(result, counterparts)
        if self.step.figures:
            for image in result.images:
                self._draw(result.select(image.id))

    def _count(self, kept: ResultKept) -> None:
        self._nonfinite += kept.nonfinite
        self._maps += len(kept.maps)
        self._arrays += len(kept.arrays)
        self._tables.update(table.name for table in kept.tables)

    def _judge(self, result: Result, counterparts: Mapping[Counterpart, Result | InterpretkitError]) -> None:
        """Note the verdicts of all checks; one that fails is told of and does not cost the step its result."""
        judged = judge(self._checks, self.step, result, counterparts, tell=self._tell)
        verdicts = [VerdictRecord.from_facts(check=name, image=image, **asdict(each)) for image, name, each in judged]
        if verdicts:
            self._draft.record(Judged(step=self.step.id, verdicts=tuple(verdicts)))

    def _tell(self, error: InterpretkitError) -> None:
        self._announcer.alert(self.step.id, plain(str(error)))

    def _draw(self, result: Result) -> None:
        """Draw the result of one image, or of the set; if that fails, the other images still get their figures."""
        try:
            for image, figure in draw(self.step.visualizer, result):
                png = figures.png(figure.picture)
                texts = {"caption": figure.caption, "alt": figure.alt}
                self._draft.write_figure(self.step.id, image, figure.name, png, **texts)
                self._figures += 1
        except StorageError:
            raise
        except InterpretkitError as error:
            self._fail(error)

    def _fail(self, error: InterpretkitError) -> None:
        if self.failure is not None:
            return
        error = error.at(place(self.step))
        self.failure = error
        skipped = isinstance(error, SkippedError)
        lines = [] if skipped else traceback.format_exception(error)
        failed = StepFailed(
            step=self.step.id,
            status="skipped" if skipped else "failed",
            error=plain(str(error)),
            traceback=plain("".join(lines)),
        )
        self._draft.record(failed)


def plugin_record(plugin: Plugin) -> PluginRecord:
    """Return the record of a plugin."""
    return PluginRecord.from_facts(package=plugin.package, distribution=plugin.distribution, version=plugin.version)
