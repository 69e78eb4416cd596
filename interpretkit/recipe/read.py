"""YAML text → Recipe, with exact line and column in every error."""

from __future__ import annotations

import graphlib
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from interpretkit import words
from interpretkit.errors import RecipeError, did_you_mean
from interpretkit.recipe.node import Node
from interpretkit.recipe.recipe import SCHEMA, Recipe, _refused, _Source
from interpretkit.recipe.yaml12 import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_BYTES = 1_000_000
_EXAMPLE = (
    f"{{schema: {SCHEMA}, name: first, model: {{uses: repvgg}}, inputs: [sample:grace_hopper], "
    "steps: [{id: features, uses: feature_grid, with: {layers: [stage4]}}]}"
)


def read_recipe(path: Path | str, *, settings: Sequence[tuple[str, Any]] = (), inputs: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a file.

    Args:
        path: The file: YAML in UTF-8, at most 1 MB.
        settings: Dotted paths with the values to put there, in order; the n-th is called `--set #n` in errors. An item
            of a list is named by its index, or by its id: `("steps.gradcam.with.target", 281)`.
        inputs: If given, they replace the inputs of the recipe; the n-th is called `-i #n` in errors.

    Raises:
        RecipeError: If the file cannot be read, or is no valid recipe.
    """
    text = _read_text(Path(path))
    root = parse(text, source=str(path))
    if root is None or root.value is None:
        raise RecipeError("the recipe is empty", where=str(path), hint=f"a small recipe is {_EXAMPLE}")
    if not isinstance(root.value, dict):
        raise RecipeError("a recipe is a mapping of keys to values", where=root.place, hint=f"such as {_EXAMPLE}")
    for number, (key_path, value) in enumerate(settings, start=1):
        root = root.put(key_path, Node.of(value, f"--set #{number}"))
    if inputs:
        items = [Node.of(value, f"-i #{number}") for number, value in enumerate(inputs, start=1)]
        root = root.put("inputs", Node(items, "-i"))
    _check_schema(root)
    root = _long_form(root)
    try:
        recipe = Recipe.model_validate(root.plain(), context=_Source(text, str(path), root))
    except ValidationError as error:
        raise _refused(error, Recipe, root) from error
    _check_names(recipe)
    _check_order(recipe)
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
        raise RecipeError(error.message, where=where, hint=error.hint) from error
    if not path or not equals or node is None:
        missing = "value" if path else "path"
        raise RecipeError(f"{text[:80]!r} has no {missing}", where=where, hint="write key.path=value")
    return path.strip(), node.plain()


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


def _check_schema(root: Node) -> None:
    node = root.child("schema")
    if node is None:
        raise RecipeError("the recipe does not name its schema", where=root.place, hint=f"add schema: {SCHEMA}")
    version = re.fullmatch(r"interpretkit/v?([0-9]{1,9})", str(node.value))
    if version and int(version[1]) > 1:
        raise RecipeError(
            f"schema {node.value} needs a newer interpretkit; this one reads {SCHEMA}",
            where=node.place,
            hint="pip install --upgrade interpretkit",
        )


def _long_form(root: Node) -> Node:
    """Return the recipe with `model:` written as `models:`; every part keeps its place."""
    entry = root.child("model")
    if entry is None:
        return root
    if "models" in root.value:
        last = max(("model", "models"), key=list(root.value).index)
        raise RecipeError("give 'model' or 'models', not both", where=root.place_of((last,), "key"))
    models = replace(entry, value={"model": entry})
    return replace(
        root,
        value={
            ("models" if key == "model" else key): models if key == "model" else node
            for key, node in root.value.items()
        },
    )


def _check_names(recipe: Recipe) -> None:
    """Check that there is a model, that step ids are unique, and that steps name steps and models that there are."""
    if not recipe.models:
        raise RecipeError("key 'model' is missing", where=recipe.place(("models",)), hint="or 'models' for several")
    seen: dict[str, int] = {}
    for position, step in enumerate(recipe.steps):
        # Ids name folders, and some file systems do not tell upper from lower case.
        first = seen.setdefault(step.id.casefold(), position)
        if first != position:
            other = f"{recipe.steps[first].id!r} at {recipe.place(('steps', first, 'id'))}"
            where = recipe.place(("steps", position, "id"))
            raise RecipeError(f"step id {step.id!r} is taken by {other}", where=where)
    ids = [step.id for step in recipe.steps]
    for position, step in enumerate(recipe.steps):
        if step.model is not None and step.model not in recipe.models:
            where = recipe.place(("steps", position, "model"))
            raise RecipeError(f"there is no model {step.model!r}", where=where, hint=_or_all(step.model, recipe.models))
        for index, name in enumerate(step.of):
            where = recipe.place(("steps", position, "of", index))
            if name == step.id:
                raise RecipeError(f"step {name!r} reads itself", where=where)
            if name not in ids:
                raise RecipeError(f"of: there is no step {name!r}", where=where, hint=_or_all(name, ids))


def _check_order(recipe: Recipe) -> None:
    """Check that no steps read each other in a circle."""
    try:
        graphlib.TopologicalSorter({step.id: step.of for step in recipe.steps}).prepare()
    except graphlib.CycleError as error:
        index = {step.id: position for position, step in enumerate(recipe.steps)}
        cycle = error.args[1][:0:-1]  # each reads the next; the last, which closes the circle, is the first again
        start = cycle.index(min(cycle, key=index.__getitem__))
        cycle = [*cycle[start:], *cycle[:start], cycle[start]]
        message = f"steps read each other in a circle: {' → '.join(cycle)}"
        raise RecipeError(message, where=recipe.place(("steps", index[cycle[0]], "of"))) from error


def _or_all(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    return did_you_mean(name, names, otherwise=f"known: {words.listed(names, most=10)}")
