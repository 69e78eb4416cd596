"""From a recipe's path to a sealed run."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit.contracts.kinds import EXECUTOR
from interpretkit.contracts.registry import discover
from interpretkit.engine.class_names import named, with_labels
from interpretkit.engine.engine import Engine
from interpretkit.engine.events import Announcer, Event
from interpretkit.engine.given import GivenModels
from interpretkit.engine.plan import Plan, check_counts, check_labels, plan
from interpretkit.engine.prepared import prepared
from interpretkit.engine.references import with_references
from interpretkit.engine.resolve import parse_options, resolve
from interpretkit.errors import Faults, InputError, InterpretkitError, InterpretkitWarning, cause
from interpretkit.inputs.decode import told_pages
from interpretkit.inputs.find import Found, find
from interpretkit.inputs.source import Files, Given, Source, named_in
from interpretkit.model.weights.load import blank, load
from interpretkit.recipe.read import read_leniently
from interpretkit.recipe.yaml12 import dump_inline
from interpretkit.runs.draft import create

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from interpretkit.contracts.registry import Registry
    from interpretkit.engine.resolve import Resolved, ResolvedModel
    from interpretkit.model.model import Model
    from interpretkit.recipe.entries import ModelEntry, Numerics
    from interpretkit.recipe.read import GivenInput, Setting
    from interpretkit.runs.run import Run


@dataclass(frozen=True, slots=True)
class Finished:
    """A sealed run, and everything that went wrong on the way."""

    run: Run
    failures: tuple[InterpretkitError, ...]


def carry_out(
    recipe: str | Path | Mapping[str, Any],
    *,
    settings: Sequence[Setting] = (),
    images: Any = None,
    models: Mapping[str, Model] | None = None,
    output: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    executor: str = "local",
    listen: Callable[[Event], None] = lambda _event: None,
) -> Finished:
    """Carry out a recipe as `run` does, telling `listen` of every event.

    A listener that fails is not called again; a warning says so when the run is sealed.

    Args:
        recipe: The file, or the recipe itself as data.
        settings: Values to put into it.
        images: Paths, folders or globs in place of its inputs; or what `Given` takes.
        models: Live models, by key, in place of its own.
        output: Directory that gets the run's directory.
        plugins: Python files with hookimpls.
        executor: The id of the executor that works on the batches.
        listen: Called with every event.
    """
    given = GivenModels(models or {})
    paths, images = named_in(images)
    if paths == []:
        raise InputError("no images are given", hint="leave `images` out to look at the inputs of the recipe")
    names = paths or ([] if images is None else ["given in Python"])
    registry = given.offered_by(discover(plugins))
    where = registry.find(EXECUTOR, executor).offer
    resolved = _resolved(recipe, registry, settings=settings, images=names, given=given)
    source: Source = Given(images)
    if paths or not names:
        source = Files(_found(resolved), resolved.readers)
    resolved = with_labels(resolved, source.found.files if isinstance(source, Files) else ())
    draft = create(Path(output), resolved.recipe.name)
    announcer = Announcer(draft, listen)
    try:
        loaded = load_models(resolved, announcer)
        planned = plan(resolved, loaded)
        check_counts(planned, source.total(planned.models))
        if isinstance(source, Files):
            check_labels(planned, source.found.files)
        planned = with_references(planned, resolved.readers)
    except BaseException:
        draft.abandon()
        raise
    live = bool(models) or isinstance(source, Given) or isinstance(recipe, Mapping)
    command = "" if live else _command(str(recipe), settings, paths or (), plugins)
    engine = Engine(resolved, planned, draft, command=command, announcer=announcer)
    run = engine.execute(source, where(parse_options(where, {})))
    if announcer.broken is not None:
        what = f"the listener failed: {cause(announcer.broken)}; the run went on without it"
        warnings.warn(what, InterpretkitWarning, stacklevel=2)
    return Finished(run, tuple(engine.failures))


def _found(resolved: Resolved) -> Found:
    """Find the images of a resolved recipe."""
    pages = partial(told_pages, readers=resolved.readers)
    return find(resolved.recipe.inputs, pages=pages, suffixes=resolved.readers)


def read_and_resolve(
    recipe: str | Path | Mapping[str, Any],
    *,
    settings: Sequence[Setting] = (),
    images: Sequence[GivenInput] = (),
    plugins: Sequence[str | Path] = (),
) -> Resolved:
    """Read a recipe and look up all that it names; no model is built. All faults are told at once."""
    registry = discover(plugins)
    return _resolved(recipe, registry, settings=settings, images=images, given=GivenModels())


def _resolved(
    recipe: str | Path | Mapping[str, Any],
    registry: Registry,
    *,
    settings: Sequence[Setting],
    images: Sequence[GivenInput],
    given: GivenModels,
) -> Resolved:
    read = read_leniently(recipe, settings=settings, inputs=images, models=given.entries())
    return given.put_into(resolve(read, registry))


def load_models(resolved: Resolved, announcer: Announcer) -> dict[str, Model]:
    """Build the models of a resolved recipe with their weights, on their device, telling of each.

    Raises:
        InterpretkitError: If one cannot be built; it tells all that cannot.
    """
    faults = Faults()
    models: dict[str, Model] = {}
    for key, model in resolved.models.items():
        entry = resolved.recipe.models[key]
        if model.given is not None:
            models[key] = model.given
            continue
        announcer.note(Event(kind="loading", text=f"loading {model.builder.name}"))
        with faults.collect(), placed(entry):
            loaded = _load(model.builder, entry, resolved.recipe.numerics)
            models[key] = named(prepared(loaded, entry), model.classes, entry)
    faults.tell()
    return models


def blank_plan(resolved: Resolved) -> tuple[Plan, Found]:
    """Plan a resolved recipe for models without weights, and find its images: what a run would do, without running it.

    Raises:
        InterpretkitError: If models, layers, classes or images are not there; it tells all that are not.
    """
    faults = Faults()
    found = Found(listed=())
    with faults.collect():
        found = _found(resolved)
        resolved = with_labels(resolved, found.files)
    # That there are no such labels is told; that classes have no names only follows from it.
    unnamed = {key for key, model in resolved.models.items() if _lacks_names(model, resolved.recipe.models[key])}
    models = blank_models(resolved, faults, without=unnamed)
    planned = Plan(models={}, steps=())
    with faults.collect():
        planned = plan(resolved, models)
    faults.tell()
    return planned, found


def _lacks_names(model: ResolvedModel, entry: ModelEntry) -> bool:
    return entry.classes is not None and not model.classes


def blank_models(resolved: Resolved, faults: Faults, *, without: Collection[str] = ()) -> dict[str, Model]:
    """Build the models of a resolved recipe without weights.

    Args:
        resolved: The recipe.
        faults: Gets what is wrong with those that cannot be built.
        without: The keys of those that are not wanted.
    """
    models = {}
    for key, model in resolved.models.items():
        entry = resolved.recipe.models[key]
        if key not in without:
            with faults.collect(), placed(entry):
                models[key] = named(prepared(blank(model.builder), entry), model.classes, entry)
    return models


@contextmanager
def placed(entry: ModelEntry) -> Iterator[None]:
    """Give an error that is raised inside the place, in the entry of a model, of the word at fault, if it names one."""
    try:
        yield
    except InterpretkitError as error:
        if error.subject is None:
            raise
        raise error.at(entry.place_of_word(error.subject)) from error.__cause__


def _load(builder: Any, entry: ModelEntry, setting: Numerics) -> Model:
    return load(builder, entry.weights, seed=setting.seed, device=setting.device, dtype=setting.dtype)


def _command(
    recipe: str | Path, settings: Sequence[Setting], images: Sequence[GivenInput], plugins: Sequence[str | Path]
) -> str:
    words = ["interpretkit", "run", str(recipe)]
    names = [image for image in images if isinstance(image, str)]
    if len(names) < len(images):
        names, settings = [], [*settings, ("inputs", images)]
    for name in names:
        words += ["-i", name]
    for setting in settings:
        words += ["--set", _typed(setting)]
    for plugin in plugins:
        words += ["--plugin", str(plugin)]
    return shlex.join(words)


def _typed(setting: Setting) -> str:
    """Return a setting as it is typed in a shell."""
    if isinstance(setting, str):
        return setting
    key, value = setting
    return f"{key}={dump_inline(value)}"
