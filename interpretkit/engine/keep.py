"""What one step leaves in a run: its results written, its figures drawn, its failure remembered."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import figures
from interpretkit.engine.batch import SkippedError, place
from interpretkit.engine.draw import draw
from interpretkit.engine.gather import Gather
from interpretkit.errors import InterpretkitError, StorageError

if TYPE_CHECKING:
    from interpretkit.engine.batch import Outcome
    from interpretkit.engine.plan import PlannedStep
    from interpretkit.model.model import Model
    from interpretkit.results.result import Result
    from interpretkit.runs.draft import Draft


class StepRecord:
    """Keeps what a step makes of batch after batch.

    A step that fails keeps what it had made for earlier images; a reduction that fails has no result, since one of
    a part of the set would pass for one of the whole.

    Args:
        planned: The step.
        model: The model that it looks at.
        draft: Where to write.

    Attributes:
        failure: Why the step failed first; None if it has not.
        seconds: Time spent on it so far, the model's own passes aside.
    """

    def __init__(self, planned: PlannedStep, model: Model, draft: Draft) -> None:
        self.step = planned.step
        self.failure: InterpretkitError | None = None
        self.seconds = 0.0
        self._planned = planned
        self._model = model
        self._draft = draft
        self._gathered: Gather | None = None
        self._finished = False
        self._nonfinite = 0
        self._targets: dict[str, Any] = {}
        self._figures: list[dict[str, Any]] = []

    def keep(self, outcome: Outcome) -> None:
        """Write and draw what the step has made of a batch, or merge it into the reduction."""
        began = time.perf_counter()
        try:
            if self.step.id in outcome.failures:
                raise outcome.failures[self.step.id]
            self._keep(outcome.results[self.step.id])
        except StorageError:
            raise
        except InterpretkitError as error:
            self._fail(error)
        self.seconds += outcome.seconds.get(self.step.id, 0.0) + time.perf_counter() - began

    def finish(self) -> None:
        """Write and draw a reduction, now that all images are in it."""
        began = time.perf_counter()
        if self._gathered is not None and self.failure is None:
            try:
                result = self._gathered.whole()
                self._draft.write_result(self.step.id, result, reduction=True)
                if self.step.figures:
                    self._draw(result)
            except StorageError:
                raise
            except InterpretkitError as error:
                self._fail(error)
        self._finished = True
        self.seconds += time.perf_counter() - began

    def summary(self) -> str:
        """Say in one line what the step has left."""
        if self.failure is not None:
            return str(self.failure)
        written = self._draft.records(self.step.id)
        counts = {"map": len(written["maps"]), "table": len(written["tables"]), "figure": len(self._figures)}
        made = [f"{count} {noun}{'s' if count > 1 else ''}" for noun, count in counts.items() if count]
        remark = f"; {self._nonfinite} cells are NaN or infinite" if self._nonfinite else ""
        return f"{self.step.id}: {', '.join(made) or 'nothing'} ({self.seconds:.1f} s){remark}"

    def as_data(self) -> dict[str, Any]:
        """Return the step's entry of the manifest."""
        return {
            "id": self.step.id,
            "uses": self.step.visualizer.name,
            "plugin": asdict(self.step.plugin),
            "model": self.step.model,
            "of": list(self.step.of),
            "options": self.step.visualizer.options.model_dump(by_alias=True),
            "layers": [layer.name for layer in self._planned.activations],
            "scope": "set" if self.step.per_set else "image",
            "status": self._status(),
            "error": "" if self.failure is None else str(self.failure),
            "nonfinite": self._nonfinite,
            "targets": self._targets,
            **self._draft.records(self.step.id),
            "figures": self._figures,
        }

    def _status(self) -> str:
        if self.failure is not None:
            return "skipped" if isinstance(self.failure, SkippedError) else "failed"
        return "complete" if self._finished else "interrupted"

    def _keep(self, result: Result) -> None:
        self._nonfinite += sum(int((~np.isfinite(each.values)).sum()) for each in result.maps.values())
        if result.targets:
            for image in result.images:
                self._targets[image.id] = [asdict(target) for target in result.targets_of(image.id)]
        if self.step.per_set:
            self._gathered = self._gathered or Gather(self.step)
            self._gathered.add(result)
            return
        self._draft.write_result(self.step.id, result, reduction=False)
        if self.step.figures:
            for image in result.images:
                self._draw(result.select(image.id))

    def _draw(self, result: Result) -> None:
        """Draw the result of one image, or of the set; if that fails, the other images still get their figures."""
        try:
            for image, figure in draw(self.step, result, self._model):
                file = self._draft.write_figure(self.step.id, image, figure.name, figures.png(figure.picture))
                texts = {"name": figure.name, "caption": figure.caption, "alt": figure.alt}
                self._figures.append({"file": file, "image": image, **texts})
        except StorageError:
            raise
        except InterpretkitError as error:
            self._fail(error)

    def _fail(self, error: InterpretkitError) -> None:
        error.where = error.where or place(self.step)
        self.failure = self.failure or error
