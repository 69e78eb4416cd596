"""Plan × executor → sealed run: batch after batch is computed, written and drawn; nothing is held for long."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from interpretkit.digests import array_digest, plain, sha256_bytes, state_digest
from interpretkit.engine import numerics
from interpretkit.engine.alerts import unknown
from interpretkit.engine.apart import where_mixed
from interpretkit.engine.batch import begin
from interpretkit.engine.counterparts import Conditions, asked_of
from interpretkit.engine.events import Event
from interpretkit.engine.expect import met, unmeant
from interpretkit.engine.keep import KeptStep, plugin_record
from interpretkit.errors import InputError, RecipeError
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.recipe.yaml12 import dump
from interpretkit.report import page as report
from interpretkit.runs.environment import environment
from interpretkit.runs.journal import Begun, Expected, ImageUnread, ModelKnown, alerts_of
from interpretkit.runs.judged import agreements, checks_in_a_line, failing
from interpretkit.runs.manifest import SCHEMA
from interpretkit.runs.pictures import encoded
from interpretkit.runs.records import ImageRecord, ModelRecord, RecipeRecord, RunRecord, WeightsRecord

if TYPE_CHECKING:
    from interpretkit.contracts.executor import Executor
    from interpretkit.engine.batch import Work
    from interpretkit.engine.events import Announcer, EventKind
    from interpretkit.engine.plan import Plan
    from interpretkit.engine.resolve import Resolved
    from interpretkit.errors import InterpretkitError
    from interpretkit.inputs.source import Source
    from interpretkit.results.image import InputImage
    from interpretkit.runs.draft import Draft
    from interpretkit.runs.records import RunStatus
    from interpretkit.runs.run import Run

_IMAGE_FACTS = ("id", "source", "sha256", "size", "conversions", "alerts", "label")


class Engine:
    """Carries out one plan into one draft of a run directory.

    Args:
        resolved: The recipe that the plan was made from.
        plan: What to do.
        draft: Where to write it.
        command: The command that does the same again.
        announcer: Told of every event.
    """

    def __init__(self, resolved: Resolved, plan: Plan, draft: Draft, *, command: str, announcer: Announcer) -> None:
        self._resolved = resolved
        self._plan = plan
        self._draft = draft
        self._command = command
        self._announcer = announcer
        self._steps = {
            step.id: KeptStep(step, draft, checks=resolved.checks, announcer=announcer) for step in plan.steps
        }
        self._images = 0
        self._unread: list[InputError] = []
        self._unmeant: list[RecipeError] = []
        self._doubtful: list[ImageRecord] = []
        self._masked = False
        self._remarks: tuple[str, ...] = ()
        self._known: dict[str, ModelRecord] = {}

    @property
    def failures(self) -> list[InterpretkitError]:
        """Everything that went wrong: images that cannot be read, steps, expectations of what there is not."""
        steps = [step.failure for step in self._steps.values() if step.failure is not None]
        return [*self._unread, *steps, *self._unmeant]

    def execute(self, source: Source, executor: Executor) -> Run:
        """Process the images and return the sealed run.

        What fails is in `failures` and in the manifest; what worked is kept. An interrupt seals what there is and is
        raised again.

        Raises:
            InputError: If not one image can be read; no run is left then.
            StorageError: If the run directory cannot be written.
        """
        recipe = self._resolved.recipe
        self._masked = source.masked
        self._remarks = source.remarks
        self._draft.record(Begun(run=self._begun()))
        self._draft.write_text("recipe.yaml", recipe.text)
        self._draft.write_text("resolved.yaml", dump(self._resolved.as_data()))
        for remark in self._remarks:
            self._tell("image", remark, failed=True)
        try:
            for key, model in self._plan.models.items():
                digest = state_digest(model.module.state_dict())
                self._know(key, self._about_model(key, state_sha256=digest))
                cause = f": {model.weights.fallback}" if model.weights.fallback else ""
                self._tell("model", f"{model.name}: {model.weights}{cause}", failed=bool(model.alert))
            with numerics.in_force(recipe.numerics):
                self._process(source, executor)
        except KeyboardInterrupt:
            self._seal("interrupted")
            raise
        except InputError:
            # An image that is no good is left out; this is about what is given for images as a whole.
            self._draft.abandon()
            raise
        if not self._images:
            self._draft.abandon()
            raise self._unread[0]
        self._compare()
        return self._seal("failed" if self.failures else "complete")

    def _process(self, source: Source, executor: Executor) -> None:
        size = self._resolved.recipe.numerics.batch_size
        models = self._plan.models
        if any(model.mixes for model in models.values()):
            size = 1
        total = source.total(models)
        shards = where_mixed(source.batches(models, batch_size=size, leave_out=self._leave_out), models)
        asked = asked_of(self._plan.steps, self._resolved.checks, thorough=self._resolved.thorough)
        conditions = Conditions(self._plan.steps, asked)
        compute = partial(begin, self._plan, listener=self._announcer.listener, conditions=conditions)
        for work in executor.map(compute, shards):
            self._keep_inputs(work)
            self._keep_outputs(work)
            self._keep_shown(work)
            last = self._images + len(self._unread) == total
            for outcome in work.outcomes:
                step = self._steps[outcome.step]
                step.keep(outcome)
                if last:
                    self._finish(step)
            done = self._images
            of_all = f"{done} of {total}" if total else str(done)
            self._tell("batch", f"{of_all} images", done=done, total=total)
        for alert in alerts_of(self._doubtful):
            self._announcer.tell(Event(kind="alert", text=alert, failed=True))
        # Files that cannot be read may come after the last batch.
        for step in self._steps.values():
            if not step.finished:
                self._finish(step)

    def _know(self, key: str, model: ModelRecord) -> None:
        self._known[key] = model
        self._draft.record(ModelKnown(key=key, model=model))

    def _keep_outputs(self, work: Work) -> None:
        """Keep what the first pass has shown of outputs that were left open, and say what stays unknown."""
        first = self._images == len(work.images)
        for key, outputs in work.outputs.items():
            known = self._known[key]
            if known.outputs != outputs:
                self._know(key, known.model_copy(update={"outputs": dict(outputs)}))
            for remark in unknown(outputs) if first else ():
                self._tell("model", f"{known.name}: {remark}")

    def _keep_shown(self, work: Work) -> None:
        """Keep and say which channels of its input the pictures of a model show, where these are not all."""
        for key, shown in work.shown.items():
            known = self._known[key]
            if shown and not known.shown:
                self._know(key, known.model_copy(update={"shown": shown}))
                self._tell("model", f"{known.name}: pictures of its input show {shown}")

    def _finish(self, step: KeptStep) -> None:
        step.finish()
        self._tell("step", step.summary(), step=step.step.id, failed=step.failure is not None)

    def _leave_out(self, error: InputError) -> None:
        self._unread.append(error)
        self._draft.record(ImageUnread(error=plain(str(error))))
        self._tell("image", str(error), failed=True)

    def _keep_inputs(self, work: Work) -> None:
        for position, image in enumerate(work.images):
            files: dict[str, bytes] = {}
            pictures: dict[str, str] = {}
            for key, pixels in work.pixels.items():
                pictures[key] = self._picture_file(image, key)
                files[pictures[key]] = encoded(pixels[position])
            facts = {name: getattr(image, name) for name in _IMAGE_FACTS}
            facts["label"] = None if image.label is None else str(image.label)
            masks, predictions = _masks(work, position), _predictions(work, position)
            record = ImageRecord.from_facts(**facts, pictures=pictures, masks=masks, predictions=predictions)
            self._draft.write_image(record, files)
            if record.alerts:
                self._doubtful.append(record)
            self._images += 1

    def _picture_file(self, image: InputImage, key: str) -> str:
        several = len(self._plan.models) > 1
        return f"inputs/{image.id}--{key}.png" if several else f"inputs/{image.id}.png"

    def _tell(self, kind: EventKind, text: str, **more: Any) -> None:
        self._announcer.note(Event(kind=kind, text=text, **more))

    def _compare(self) -> None:
        """Hold what the recipe expects against what there is."""
        if self._resolved.recipe.expect:
            run = self._draft.so_far()
            for entry in self._resolved.recipe.expect:
                try:
                    self._draft.record(Expected(expectation=met(entry, run)))
                except RecipeError as error:
                    self._draft.record(Expected(expectation=unmeant(entry, error)))
                    self._unmeant.append(error)

    def _seal(self, status: RunStatus) -> Run:
        run = self._draft.seal(status, report.render)
        self._tell_judged(run.record)
        event = Event(kind="sealed", text=str(run.path), failed=status != "complete")
        self._announcer.tell(event)
        return run

    def _tell_judged(self, run: RunRecord) -> None:
        """Tell what the verdicts come to, and whether the models predict what the images are labelled."""
        for agreement in agreements(run):
            self._announcer.tell(Event(kind="judged", text=str(agreement), failed=bool(agreement.others)))
        for expectation in run.expectations:
            if not expectation.passed:
                self._announcer.tell(Event(kind="judged", text=f"not as expected: {expectation}", failed=True))
        if run.expectations:
            passed = sum(expectation.passed for expectation in run.expectations)
            told = f"expectations: {passed} of {len(run.expectations)} met"
            self._announcer.tell(Event(kind="judged", text=told, failed=passed < len(run.expectations)))
        checks = checks_in_a_line(run)
        if checks:
            self._announcer.tell(Event(kind="judged", text=checks, failed=failing(run)))

    def _begun(self) -> RunRecord:
        """Return what is known before the first pass."""
        recipe = self._resolved.recipe
        models = self._plan.models
        made_with = environment()
        digest = sha256_bytes(recipe.text.encode())
        alerts = [self._alert(key) for key in models]
        alerts += [self._mask_alert(key) for key in models]
        alerts += self._remarks
        return RunRecord(
            schema_=SCHEMA,
            name=recipe.name,
            id=self._draft.id,
            interpretkit=made_with["interpretkit"],
            command=plain(self._command),
            recipe=RecipeRecord.from_facts(source=recipe.path, sha256=digest),
            alerts=tuple(filter(None, alerts)),
            models={key: self._about_model(key) for key in models},
            inputs=(),
            steps=tuple(step.record() for step in self._steps.values()),
            numerics=plain(numerics.describe(recipe.numerics, models.values())),
            environment=plain(made_with),
            files={},
        )

    def _about_model(self, key: str, *, state_sha256: str = "") -> ModelRecord:
        model, resolved = self._plan.models[key], self._resolved.models[key]
        preprocessing = model.preprocessing
        return ModelRecord(
            name=plain(model.name),
            uses=resolved.builder.name,
            plugin=plugin_record(resolved.plugin),
            options=plain(resolved.builder.options.model_dump(by_alias=True)),
            weights=WeightsRecord.from_facts(**asdict(model.weights), state_sha256=state_sha256),
            notes=tuple(model.notes),
            alert=plain(self._alert(key)),
            preprocessing=plain(
                asdict(preprocessing) if isinstance(preprocessing, Preprocessing) else repr(preprocessing)
            ),
            parameters=sum(parameter.numel() for parameter in model.module.parameters()),
            classes=len(model.classes),
            class_names=tuple(map(plain, resolved.classes)),
            outputs=model.outputs_in_words,
        )

    def _alert(self, key: str) -> str:
        """Return what the reader must know of a model; its key tells it from others of the same name."""
        model = self._plan.models[key]
        if not model.alert:
            return ""
        name = model.name
        if len(self._plan.models) > 1:
            name = f"{name} ({key})"
        weights = model.weights
        if not weights.fallback:
            return f"{name}: {model.alert}"
        return f"{name}: {model.alert} {weights.source}: {weights.fallback}."

    def _mask_alert(self, key: str) -> str:
        """Say that masks which the inputs have are not used, where nobody knows how they lie on what a model is fed."""
        model = self._plan.models[key]
        if not self._masked or isinstance(model.preprocessing, Preprocessing):
            return ""
        return f"{model.name} ({key}): no masks, since where its own kind of preprocessing puts pixels is not known."


def _masks(work: Work, position: int) -> dict[str, dict[str, Any]]:
    """Return what is to say of the masks of an image, by model; nothing where there is none."""
    masks = {}
    for key, of_images in work.masks.items():
        mask = of_images[position]
        if mask is not None:
            masks[key] = {"sha256": array_digest(mask), "inside": mask.mean()}
    return masks


def _predictions(work: Work, position: int) -> dict[str, list[dict[str, Any]]]:
    """Return what each model finds in an image; nothing where its output cannot be read."""
    predictions = {}
    for key, of_images in work.predictions.items():
        found = of_images[position] if of_images else ()
        predictions[key] = [asdict(prediction) for prediction in found]
    return predictions
