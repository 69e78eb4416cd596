"""From a recipe's path to a sealed run."""

from __future__ import annotations

import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit.contracts.registry import discover
from interpretkit.engine.engine import Engine
from interpretkit.engine.events import Announcer, Event
from interpretkit.engine.executor import LocalExecutor
from interpretkit.engine.plan import check_labels, plan
from interpretkit.engine.resolve import resolve
from interpretkit.errors import cause
from interpretkit.inputs.find import find_images
from interpretkit.model.weights.load import load
from interpretkit.recipe.read import read_recipe
from interpretkit.recipe.yaml12 import dump_inline
from interpretkit.runs.draft import create

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interpretkit.engine.resolve import Resolved
    from interpretkit.errors import InterpretkitError
    from interpretkit.model.model import Model
    from interpretkit.recipe.entries import ModelEntry, Numerics


@dataclass(frozen=True, slots=True)
class Finished:
    """A sealed run's directory, and everything that went wrong on the way."""

    path: Path
    failures: tuple[InterpretkitError, ...]


def carry_out(
    recipe: str | Path,
    *,
    settings: Sequence[tuple[str, Any]] = (),
    images: Sequence[str] = (),
    output: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    listen: Callable[[Event], None] = lambda _event: None,
) -> Finished:
    """Carry out a recipe as `run` does, telling `listen` of every event.

    A listener that fails is not called again; a warning says so when the run is sealed.
    """
    resolved = read_and_resolve(recipe, settings=settings, images=images, plugins=plugins)
    files = find_images(resolved.recipe.inputs)
    draft = create(Path(output), resolved.recipe.name)
    announcer = Announcer(draft, listen)
    try:
        loaded = load_models(resolved, announcer)
        planned = plan(resolved, loaded)
        check_labels(planned, files)
    except BaseException:
        draft.abandon()
        raise
    command = _command(recipe, settings, images, plugins)
    engine = Engine(resolved, planned, draft, command=command, announcer=announcer)
    path = engine.execute(files, LocalExecutor())
    if announcer.broken is not None:
        warnings.warn(f"the listener failed: {cause(announcer.broken)}; the run went on without it", stacklevel=2)
    return Finished(path, tuple(engine.failures))


def read_and_resolve(
    recipe: str | Path,
    *,
    settings: Sequence[tuple[str, Any]] = (),
    images: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
) -> Resolved:
    """Read a recipe and look up all that it names; no model is built."""
    read = read_recipe(Path(recipe), settings=settings, inputs=images)
    return resolve(read, discover([Path(plugin) for plugin in plugins]))


def load_models(resolved: Resolved, announcer: Announcer) -> dict[str, Model]:
    """Build the models of a resolved recipe with their weights, on their device, telling of each."""
    recipe = resolved.recipe
    models = {}
    for key, each in resolved.models.items():
        announcer.note(Event(kind="loading", text=f"loading {each.builder.name}"))
        models[key] = _load(each.builder, recipe.models[key], recipe.numerics)
    return models


def _load(builder: Any, entry: ModelEntry, setting: Numerics) -> Model:
    return load(builder, entry.weights, seed=setting.seed, device=setting.device, dtype=setting.dtype)


def _command(
    recipe: str | Path, settings: Sequence[tuple[str, Any]], images: Sequence[str], plugins: Sequence[str | Path]
) -> str:
    words = ["interpretkit", "run", str(recipe)]
    words += [word for image in images for word in ("-i", str(image))]
    words += [word for key, value in settings for word in ("--set", f"{key}={dump_inline(value)}")]
    words += [word for plugin in plugins for word in ("--plugin", str(plugin))]
    return shlex.join(words)
