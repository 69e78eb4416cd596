"""From a recipe's path to a sealed run."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit.contracts.kinds import EXECUTOR
from interpretkit.contracts.registry import discover
from interpretkit.engine.engine import Engine
from interpretkit.engine.plan import Plan, check_labels, plan
from interpretkit.engine.resolve import parse_options, resolve
from interpretkit.errors import Faults, InterpretkitError
from interpretkit.inputs.find import find_images
from interpretkit.model.weights.load import blank, load
from interpretkit.recipe.read import read_leniently
from interpretkit.recipe.yaml12 import dump_inline
from interpretkit.runs.draft import create

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from interpretkit.engine.engine import Event
    from interpretkit.engine.resolve import Resolved
    from interpretkit.inputs.find import ImageFile
    from interpretkit.model.model import Model
    from interpretkit.recipe.entries import ModelEntry, Numerics
    from interpretkit.recipe.read import Setting


@dataclass(frozen=True, slots=True)
class Finished:
    """A sealed run's directory, and everything that went wrong on the way."""

    path: Path
    failures: tuple[InterpretkitError, ...]


def carry_out(
    recipe: str | Path,
    *,
    settings: Sequence[Setting] = (),
    images: Sequence[str] = (),
    output: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    executor: str = "local",
    listen: Callable[[Event], None] = lambda _event: None,
) -> Finished:
    """Carry out a recipe as `run` does, telling `listen` of every event."""
    registry = discover([Path(plugin) for plugin in plugins])
    resolved = resolve(read_leniently(recipe, settings=settings, inputs=images), registry)
    where = registry.find(EXECUTOR, executor).offer
    files = find_images(resolved.recipe.inputs, suffixes=resolved.readers)
    draft = create(Path(output), resolved.recipe.name)
    try:
        loaded = load_models(resolved)
        planned = plan(resolved, loaded)
        check_labels(planned, files)
    except BaseException:
        draft.abandon()
        raise
    command = _command(recipe, settings, images, plugins)
    engine = Engine(resolved, planned, draft, command=command, listen=listen)
    path = engine.execute(files, where(parse_options(where, {})))
    return Finished(path, tuple(engine.failures))


def read_and_resolve(
    recipe: str | Path,
    *,
    settings: Sequence[Setting] = (),
    images: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
) -> Resolved:
    """Read a recipe and look up all that it names; no model is built. All faults are told at once."""
    read = read_leniently(recipe, settings=settings, inputs=images)
    return resolve(read, discover([Path(plugin) for plugin in plugins]))


def load_models(resolved: Resolved) -> dict[str, Model]:
    """Build the models of a resolved recipe with their weights, on their device.

    Raises:
        InterpretkitError: If one cannot be built; it tells all that cannot.
    """
    faults = Faults()
    models = {}
    for key, each in resolved.models.items():
        entry = resolved.recipe.models[key]
        with faults.collect(), placed(entry):
            models[key] = _load(each.builder, entry, resolved.recipe.numerics)
    faults.tell()
    return models


def blank_plan(resolved: Resolved) -> tuple[Plan, tuple[ImageFile, ...]]:
    """Plan a resolved recipe for models without weights, and find its images: to say what a run would do, not to run.

    Raises:
        InterpretkitError: If models, layers, classes or images are not there; it tells all that are not.
    """
    faults = Faults()
    models = {}
    for key, each in resolved.models.items():
        with faults.collect(), placed(resolved.recipe.models[key]):
            models[key] = blank(each.builder)
    files: tuple[ImageFile, ...] = ()
    with faults.collect():
        files = find_images(resolved.recipe.inputs, suffixes=resolved.readers)
    planned = Plan(models={}, steps=())
    with faults.collect():
        planned = plan(resolved, models)
    faults.tell()
    return planned, files


@contextmanager
def placed(entry: ModelEntry) -> Iterator[None]:
    """Place what is raised inside where the word at fault stands in the entry of a model, if there is such a word."""
    try:
        yield
    except InterpretkitError as error:
        if error.subject is None:
            raise
        raise error.at(entry.place_of_word(error.subject)) from error.__cause__


def _load(builder: Any, entry: ModelEntry, setting: Numerics) -> Model:
    return load(builder, entry.weights, seed=setting.seed, device=setting.device, dtype=setting.dtype)


def _command(
    recipe: str | Path, settings: Sequence[Setting], images: Sequence[str], plugins: Sequence[str | Path]
) -> str:
    words = ["interpretkit", "run", str(recipe)]
    words += [word for image in images for word in ("-i", str(image))]
    for setting in settings:
        words += ["--set", setting if isinstance(setting, str) else f"{setting[0]}={dump_inline(setting[1])}"]
    words += [word for plugin in plugins for word in ("--plugin", str(plugin))]
    return shlex.join(words)
