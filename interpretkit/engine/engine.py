"""Plan × executor → sealed run: batch after batch is computed, written and drawn; nothing is held for long."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from interpretkit import figures
from interpretkit.digests import array_digest, sha256_bytes, state_digest
from interpretkit.engine import numerics
from interpretkit.engine.batch import compute
from interpretkit.engine.keep import StepRecord
from interpretkit.errors import InputError, InterpretkitError
from interpretkit.inputs.batch import batches
from interpretkit.inputs.read import read_image
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.recipe.yaml12 import dump
from interpretkit.report import page as report
from interpretkit.runs.environment import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from interpretkit.contracts.executor import Executor
    from interpretkit.engine.batch import Outcome
    from interpretkit.engine.plan import Plan
    from interpretkit.engine.resolve import Resolved
    from interpretkit.inputs.find import ImageFile
    from interpretkit.results.image import InputImage
    from interpretkit.runs.draft import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that whoever started the run may want to show.

    Attributes:
        kind: `model` (ready), `image` (cannot be read), `batch` (done), `step` (done), `sealed` (the run).
        text: What happened, in one line; the directory for `sealed`.
        done: Images done so far.
        total: Images in all.
        failed: Whether it is bad news.
    """

    kind: str
    text: str
    done: int = 0
    total: int = 0
    failed: bool = False


class Engine:
    """Carries out one plan into one draft of a run directory.

    Args:
        resolved: The recipe that the plan was made from.
        plan: What to do.
        draft: Where to write it.
        command: The command that does the same again.
        listen: Called with every event.
    """

    def __init__(
        self, resolved: Resolved, plan: Plan, draft: Draft, *, command: str, listen: Callable[[Event], None]
    ) -> None:
        self._resolved = resolved
        self._plan = plan
        self._draft = draft
        self._command = command
        self._listen = listen
        self._records = [StepRecord(each, plan.models[each.step.model], draft) for each in plan.steps]
        self._inputs: list[dict[str, Any]] = []
        self._unread: list[InputError] = []
        self._digests: dict[str, str] = {}
        self._started = time.time()
        self._masked = False

    @property
    def failures(self) -> list[InterpretkitError]:
        """Everything that went wrong: images that cannot be read, then steps."""
        return [*self._unread, *(record.failure for record in self._records if record.failure is not None)]

    def execute(self, files: Sequence[ImageFile], executor: Executor) -> Path:
        """Process the images and return the directory of the sealed run.

        What fails is in `failures` and in the manifest; what worked is kept. An interrupt seals what there is and is
        raised again.

        Raises:
            InputError: If not one image can be read; no run is left then.
            StorageError: If the run directory cannot be written.
        """
        recipe = self._resolved.recipe
        self._masked = any(file.mask is not None for file in files)
        self._draft.write_text("recipe.yaml", recipe.text)
        self._draft.write_text("resolved.yaml", dump(self._resolved.as_data()))
        try:
            for key, model in self._plan.models.items():
                self._digests[key] = state_digest(model.module.state_dict())
                cause = f": {model.weights.fallback}" if model.weights.fallback else ""
                self._tell("model", f"{model.name}: {model.weights}{cause}", failed=bool(model.alert))
            with numerics.in_force(recipe.numerics):
                self._process(files, executor)
        except KeyboardInterrupt:
            self._seal("interrupted")
            raise
        if not self._inputs:
            self._draft.abandon()
            raise self._unread[0]
        return self._seal("failed" if self.failures else "complete")

    def _process(self, files: Sequence[ImageFile], executor: Executor) -> None:
        size = self._resolved.recipe.numerics.batch_size
        shards = batches(self._readable(files), self._plan.models, batch_size=size, unfit=self._leave_out)
        for outcome in executor.map(partial(compute, self._plan), shards):
            self._keep_inputs(outcome)
            for record in self._records:
                record.keep(outcome)
            done, total = len(self._inputs), len(files)
            self._tell("batch", f"{done} of {total} images", done=done, total=total)
        for record in self._records:
            record.finish()
            self._tell("step", record.summary(), failed=record.failure is not None)

    def _readable(self, files: Sequence[ImageFile]) -> Iterator[tuple[InputImage, Image.Image]]:
        """Yield the images that can be read; one that cannot does not cost the others the run."""
        for file in files:
            try:
                yield read_image(file, readers=self._resolved.readers)
            except InputError as error:
                self._leave_out(error)

    def _leave_out(self, error: InputError) -> None:
        self._unread.append(error)
        self._tell("image", str(error), failed=True)

    def _keep_inputs(self, outcome: Outcome) -> None:
        several = len(self._plan.models) > 1
        for position, image in enumerate(outcome.images):
            pictures = {}
            for key, pixels in outcome.pixels.items():
                pictures[key] = f"inputs/{image.id}--{key}.png" if several else f"inputs/{image.id}.png"
                self._draft.write_bytes(pictures[key], figures.png(Image.fromarray(pixels[position])))
            predictions = {
                key: [asdict(each) for each in found[position]] if found else []
                for key, found in outcome.predictions.items()
            }
            facts = {name: getattr(image, name) for name in ("id", "source", "sha256", "size", "conversions", "label")}
            masks = {
                key: {"sha256": array_digest(found[position]), "inside": float(found[position].mean())}
                for key, found in outcome.masks.items()
                if found[position] is not None
            }
            self._inputs.append({**facts, "pictures": pictures, "masks": masks, "predictions": predictions})

    def _tell(self, kind: str, text: str, **more: Any) -> None:
        self._draft.event(kind, text=text, **more)
        self._listen(Event(kind=kind, text=text, **more))

    def _seal(self, status: str) -> Path:
        manifest = self._manifest(status)
        self._draft.write_text("report.html", report.render(self._draft.path, manifest))
        finished = time.time()
        volatile = {"started": self._started, "finished": finished, "seconds": finished - self._started}
        path = self._draft.seal({**manifest, "volatile": volatile})
        self._listen(Event(kind="sealed", text=str(path), failed=status != "complete"))
        return path

    def _manifest(self, status: str) -> dict[str, Any]:
        recipe = self._resolved.recipe
        models = self._plan.models
        made_with = environment()
        return {
            "schema": "interpretkit-run/1",
            "name": recipe.name,
            "id": self._draft.id,
            "status": status,
            "interpretkit": made_with["interpretkit"],
            "command": self._command,
            "recipe": {"source": recipe.path, "sha256": sha256_bytes(recipe.text.encode())},
            "alerts": [
                *filter(None, map(self._alert, models)),
                *filter(None, map(self._mask_alert, models)),
                *(f"Not in this run: {error}" for error in self._unread),
            ],
            "models": {key: self._about_model(key) for key in models},
            "inputs": self._inputs,
            "steps": [record.as_data() for record in self._records],
            "numerics": numerics.describe(recipe.numerics, models.values()),
            "environment": made_with,
        }

    def _about_model(self, key: str) -> dict[str, Any]:
        model, resolved = self._plan.models[key], self._resolved.models[key]
        preprocessing = model.preprocessing
        return {
            "name": model.name,
            "uses": resolved.builder.name,
            "plugin": asdict(resolved.plugin),
            "options": resolved.builder.options.model_dump(by_alias=True),
            "weights": {**asdict(model.weights), "state_sha256": self._digests.get(key, "")},
            "notes": list(model.notes),
            "alert": self._alert(key),
            "preprocessing": (
                asdict(preprocessing) if isinstance(preprocessing, Preprocessing) else repr(preprocessing)
            ),
            "parameters": sum(parameter.numel() for parameter in model.module.parameters()),
            "classes": len(model.classes),
        }

    def _alert(self, key: str) -> str:
        """Return what the reader must know of a model; its key tells it from others of the same name."""
        model = self._plan.models[key]
        name = f"{model.name} ({key})" if len(self._plan.models) > 1 else model.name
        cause = f" {model.weights.source}: {model.weights.fallback}." if model.weights.fallback else ""
        return f"{name}: {model.alert}{cause}" if model.alert else ""

    def _mask_alert(self, key: str) -> str:
        """Say that masks which the inputs have are not used, where nobody knows how they lie on what a model is fed."""
        model = self._plan.models[key]
        if not self._masked or isinstance(model.preprocessing, Preprocessing):
            return ""
        return f"{model.name} ({key}): no masks, since where its own kind of preprocessing puts pixels is not known."
