"""YAML text → Recipe, with exact line and column in every error."""

from __future__ import annotations

import graphlib
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from interpretkit import words
from interpretkit.errors import Faults, RecipeError, did_you_mean, nearest
from interpretkit.recipe.mending import UNNAMED, mended, unread_keys
from interpretkit.recipe.node import Node
from interpretkit.recipe.recipe import SCHEMA, Recipe, Source, refusals_of
from interpretkit.recipe.refusal import keys_of
from interpretkit.recipe.yaml12 import dump, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.recipe.entries import StepEntry

MAX_BYTES = 1_000_000
GIVEN = "recipe"
"""What a recipe that is given as data is called in errors."""
_EXAMPLE = (
    f"{{schema: {SCHEMA}, name: first, model: {{uses: repvgg}}, inputs: [sample:grace_hopper], "
    "steps: [{id: features, uses: feature_grid, with: {layers: [stage4]}}]}"
)


Setting = str | tuple[str, Any]
"""A value to put into a recipe: `key.path=value` as typed, or path and value."""

GivenInput = str | Mapping[str, Any]
"""An input of a recipe: a name, or a mapping as a recipe has it."""


def read_recipe(
    path: Path | str | Mapping[str, Any], *, settings: Sequence[Setting] = (), inputs: Sequence[GivenInput] = ()
) -> Recipe:
    """Read a recipe from a file.

    Args:
        path: The file: YAML in UTF-8, at most 1 MB. Or the recipe itself, as plain data.
        settings: Dotted paths with the values to put there, in order; the n-th is called `--set #n` in errors. An item
            of a list is named by its index, or by its id: `("steps.gradcam.with.target", 281)`.
        inputs: If given, they replace the inputs of the recipe; the n-th is called `-i #n` in errors.

    Raises:
        RecipeError: If the file cannot be read, or is no valid recipe; it tells all faults.
    """
    recipe = read_leniently(path, settings=settings, inputs=inputs)
    Faults(recipe.faults).tell()
    return recipe


def read_leniently(
    path: Path | str | Mapping[str, Any],
    *,
    settings: Sequence[Setting] = (),
    inputs: Sequence[GivenInput] = (),
    models: Mapping[str, Any] | None = None,
) -> Recipe:
    """Read a recipe as `read_recipe` does, but leave out the parts that cannot be read; `faults` says what is wrong.

    If `models` are given, they stand in the place of those of the recipe.

    Raises:
        RecipeError: If nothing can be read: the file, its YAML, or a schema of a newer interpretkit.
    """
    faults = Faults()
    if isinstance(path, Mapping):
        name = GIVEN
        text = _dumped(path)
    else:
        name = str(path)
        text = _read_text(Path(path))
    root = _with_models(_parsed(text, name), models)
    root = _put(root, settings, inputs, faults)
    recipe = _read(root, text, name, faults)
    _check_names(recipe, faults)
    _check_order(recipe, faults)
    return recipe


def parse_setting(text: str, number: int) -> tuple[str, Any]:
    """Read `key.path=value`, the value by the same rules as a recipe.

    Args:
        text: The setting.
        number: Which of the settings it is, from 1; for errors.

    Raises:
        RecipeError: If path or value are missing, or the value is no YAML.

    Example:
        >>> parse_setting("steps.gradcam.with.target=281", 1)
        ('steps.gradcam.with.target', 281)
    """
    where = f"--set #{number}"
    path, equals, value = text.partition("=")
    try:
        node = parse(value, source="")
    except RecipeError as error:
        # Line and column within the value would say less than which setting it is.
        raise RecipeError(error.message, where=where, hint=error.hint) from error
    if not path or not equals or node is None:
        missing = "value" if path else "path"
        raise RecipeError(f"{text[:80]!r} has no {missing}", where=where, hint="write key.path=value")
    return path.strip(), node.plain()


def _dumped(data: Mapping[str, Any]) -> str:
    """Return a recipe given as data as its text.

    Raises:
        RecipeError: If something in it is no plain data.
    """
    Node.of(dict(data), GIVEN)
    return dump(dict(data))


def _parsed(text: str, path: str) -> Node:
    root = parse(text, source=path)
    if root is None or root.value is None:
        raise RecipeError("the recipe is empty", where=path, hint=f"a small recipe is {_EXAMPLE}")
    if not isinstance(root.value, dict):
        raise RecipeError("a recipe is a mapping of keys to values", where=root.place, hint=f"such as {_EXAMPLE}")
    return root


def _with_models(root: Node, models: Mapping[str, Any] | None) -> Node:
    if models is None:
        return root
    keys = {key: node for key, node in root.value.items() if key not in ("model", "models")}
    keys["models"] = Node.of(dict(models), "model=")
    return replace(root, value=keys)


def _put(root: Node, settings: Sequence[Setting], inputs: Sequence[GivenInput], faults: Faults) -> Node:
    """Return the recipe with the settings and inputs of the command line; a setting that does not fit is left out."""
    for number, setting in enumerate(settings, start=1):
        with faults.collect():
            path, value = parse_setting(setting, number) if isinstance(setting, str) else setting
            node = Node.of(value, f"--set #{number}")
            root = root.put(path, node)
    if inputs:
        items = [Node.of(value, f"-i #{number}") for number, value in enumerate(inputs, start=1)]
        root = root.put("inputs", Node(items, "-i"))
    return root


def _read(root: Node, text: str, path: str, faults: Faults) -> Recipe:
    root = _long_form(_with_schema(root, faults), faults)
    source = Source(text, path, root, faults=faults)
    try:
        return Recipe.model_validate(root.plain(), context=source)
    except ValidationError as error:
        refusals = refusals_of(error, root)
    for refusal in refusals:
        loc = refusal.loc
        where = root.place_of(loc, "key" if refusal.at_key else "value")
        subject = loc[-1] if refusal.at_key else root.at(loc).plain()
        fault = RecipeError(refusal.message, where=where, hint=refusal.hint, subject=subject)
        faults.found.append(fault)
    unread = unread_keys(root, refusals)
    readable = mended(root, unread).plain()
    try:
        return Recipe.model_validate(readable, context=replace(source, unread=unread))
    except ValidationError:
        faults.tell()
        raise


def _read_text(path: Path) -> str:
    where = str(path)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise RecipeError(f"the recipe is {kind}", where=where)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"the recipe cannot be read: {error.strerror}", where=where) from error
    if len(data) > MAX_BYTES:
        raise RecipeError(f"the recipe is larger than {MAX_BYTES:,} bytes", where=where)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecipeError("the recipe is UTF-16", where=where, hint="save it as UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError("the recipe is not UTF-8", where=f"{where}:{line}", hint="save it as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise RecipeError("the recipe contains a NUL byte", where=f"{where}:{line}", hint="save it as UTF-8")
    return text


def _with_schema(root: Node, faults: Faults) -> Node:
    """Return the recipe with its schema; if it names none, with today's.

    Raises:
        RecipeError: If it is that of a newer interpretkit: nobody here knows what may stand in it.
    """
    node = root.child("schema")
    if node is None:
        known = [*keys_of(Recipe), "model"]
        if any("schema" in nearest(key, known) for key in root.value):
            return root
        missing = "the recipe does not name its schema"
        faults.found.append(RecipeError(missing, where=root.place, hint=f"add schema: {SCHEMA}"))
        return replace(root, value={**root.value, "schema": Node(SCHEMA, root.place)})
    version = re.fullmatch(r"interpretkit/v?([0-9]{1,9})", str(node.value))
    if version and int(version[1]) > 1:
        raise RecipeError(
            f"schema {node.value} needs a newer interpretkit; this one reads {SCHEMA}",
            where=node.place,
            hint="pip install --upgrade interpretkit",
        )
    return root


def _long_form(root: Node, faults: Faults) -> Node:
    """Return the recipe with `model:` written as `models:`; every part keeps its place. Of both, the first counts."""
    entry = root.child("model")
    if entry is None:
        return root
    if "models" in root.value:
        last = max(("model", "models"), key=list(root.value).index)
        both = "give 'model' or 'models', not both"
        faults.found.append(RecipeError(both, where=root.place_of((last,), "key")))
        others = {key: node for key, node in root.value.items() if key != last}
        return _long_form(replace(root, value=others), faults)
    keys = {}
    for key, node in root.value.items():
        if key == "model":
            keys["models"] = replace(entry, value={"model": entry})
        else:
            keys[key] = node
    return replace(root, value=keys)


def _check_names(recipe: Recipe, faults: Faults) -> None:
    """Check that there is a model, that step ids are unique, and that steps name steps and models that there are."""
    if not recipe.models and "models" not in recipe.unread:
        where = recipe.place("models")
        faults.found.append(RecipeError("key 'model' is missing", where=where, hint="or 'models' for several"))
    named = _named(recipe)
    repeated = 0
    for step in recipe.steps:
        first = named.get(step.id.casefold(), step)
        if first is not step:
            repeated += 1
            taken = f"step id {step.id!r} is taken by {first.id!r} at {first.place('id')}"
            faults.found.append(RecipeError(taken, where=step.place("id")))
    ids = [step.id for step in named.values()]
    excused = _excused(recipe, ids, repeated=repeated)
    for step in recipe.steps:
        with faults.collect():
            _check_model(step, recipe)
        for index, name in enumerate(step.of):
            if name not in excused:
                with faults.collect():
                    _check_read(step, name, step.place("of", index), ids)


def _named(recipe: Recipe) -> dict[str, StepEntry]:
    """Return the steps that have an id, by the id in small letters; if two steps share one, the first of them."""
    named: dict[str, StepEntry] = {}
    for step in recipe.steps:
        if step.id != UNNAMED or "id" not in step.unread:
            # Ids name folders, and some file systems do not tell upper from lower case.
            named.setdefault(step.id.casefold(), step)
    return named


def _excused(recipe: Recipe, ids: Sequence[str], *, repeated: int) -> set[str]:
    """Return unknown names under `of:` that may be meant for steps whose id is at fault, or is one of those `repeated`.

    These faults are told already. Each such step excuses one name, if the name resembles no other id.
    """
    read = [name for step in recipe.steps for name in step.of]
    missing = dict.fromkeys(name for name in read if name not in ids)
    if "steps" in recipe.unread:
        return set(missing)
    strange = [name for name in missing if not nearest(name, ids)]
    unread = [step for step in recipe.steps if "id" in step.unread]
    most = len(unread) + repeated
    return set(strange[:most])


def _check_model(step: StepEntry, recipe: Recipe) -> None:
    name = step.model
    names = recipe.as_typed("models")
    # Without any model, that is the fault.
    if name is None or not names or "models" in recipe.unread or name in names:
        return
    raise RecipeError(f"there is no model {name!r}", where=step.place("model"), hint=_or_all(name, names))


def _check_read(step: StepEntry, name: str, where: str, ids: Sequence[str]) -> None:
    if name == step.id:
        raise RecipeError(f"step {name!r} reads itself", where=where)
    if name not in ids:
        raise RecipeError(f"of: there is no step {name!r}", where=where, hint=_or_all(name, ids))


def _check_order(recipe: Recipe, faults: Faults) -> None:
    """Check that no steps read each other in a circle."""
    steps = {step.id: step for step in _named(recipe).values()}
    order = list(steps)
    reads = {}
    for name, step in steps.items():
        reads[name] = [read for read in step.of if read != name]
    circle = _circle(reads)
    while circle:
        start = circle.index(min(circle, key=order.index))
        first = circle[start]
        way = [*circle[start:], *circle[:start], first]
        circular = f"steps read each other in a circle: {' → '.join(way)}"
        faults.found.append(RecipeError(circular, where=steps[first].place("of")))
        reads = {name: of for name, of in reads.items() if name not in circle}
        circle = _circle(reads)


def _circle(reads: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the steps of one circle, each of which reads the next; none if there is no circle."""
    try:
        graphlib.TopologicalSorter(reads).prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1][:0:-1]  # the last, which closes the circle, is the first again
        return circle
    return []


def _or_all(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    known = words.listed(names, most=10)
    return did_you_mean(name, names, otherwise=f"known: {known}")
