"""The names that a recipe gives the classes of a model: from a list, a file, or the labels of the inputs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from interpretkit.contracts.headed import Headed
from interpretkit.errors import Faults, RecipeError, located
from interpretkit.recipe.entries import LABELS, ClassNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from interpretkit.contracts.options import Options
    from interpretkit.engine.resolve import Resolved
    from interpretkit.inputs.find import ImageFile
    from interpretkit.model.model import Model
    from interpretkit.recipe.entries import ModelEntry

_MOST_BYTES = 1_000_000

_names: TypeAdapter[list[str]] = TypeAdapter(ClassNames)


def class_names(entry: ModelEntry, options: Options) -> tuple[str, ...]:
    """Return the names that an entry gives, in a list or a file; none where they are the labels of the inputs.

    Args:
        entry: A model of a recipe.
        options: The parsed options of its builder.

    Raises:
        RecipeError: If a file holds no names, or the options say that they do not fit.
    """
    if entry.classes is None:
        return ()
    with located(entry.place("classes")):
        if isinstance(options, Headed):
            options.check_nameable()
        if entry.classes == LABELS:
            return ()
        names = _listed(Path(entry.classes)) if isinstance(entry.classes, str) else entry.classes
        return _checked(names, options)


def with_labels(resolved: Resolved, files: Sequence[ImageFile]) -> Resolved:
    """Return a resolved recipe in which models whose classes are the labels of the inputs have their names.

    Raises:
        RecipeError: If there are no labels, or they are indices, or too many or too few.
    """
    faults = Faults()
    models = dict(resolved.models)
    for key, model in models.items():
        entry = resolved.recipe.models[key]
        if entry.classes == LABELS:
            with faults.collect(), located(entry.place("classes")):
                names = _checked(_labels(files), model.builder.options)
                models[key] = replace(model, classes=names)
    faults.tell()
    return replace(resolved, models=models)


def named(model: Model, names: Sequence[str], entry: ModelEntry) -> Model:
    """Return a model with the names that its entry gives its classes; the model itself where there are none.

    Raises:
        RecipeError: If it has no classes, or is known to have another number of them.
    """
    if not names:
        return model
    with located(entry.place("classes")):
        return model.named(names)


def _checked(names: Sequence[str], options: Options) -> tuple[str, ...]:
    if isinstance(options, Headed):
        options.check_count(names)
    return tuple(names)


def _labels(files: Iterable[ImageFile]) -> list[str]:
    """Return the distinct labels, sorted by their characters' codes, as `sorted` and numpy's `unique` do."""
    labels = sorted({file.label for file in files if file.label is not None})
    if not labels:
        hint = "give a manifest with labels, or {path: …, labels: folder}; ./labels is a file of that name"
        raise RecipeError("classes: the inputs have no labels", hint=hint)
    indices = [label for label in labels if label.isascii() and label.isdecimal()]
    if indices:
        what = f"classes: the label {indices[0]!r} of the inputs is an index of a class, not its name"
        raise RecipeError(what, hint="give the names in their order, in a list or a file")
    return labels


def _listed(path: Path) -> list[str]:
    """Return the names that a file holds: one a line, or in JSON a list, or a mapping {"0": name}."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = "a list of names, a file of them, or the word `labels` is wanted"
        raise RecipeError(f"classes: {path} cannot be read: {error.strerror}", hint=hint) from error
    if len(data) > _MOST_BYTES:
        raise RecipeError(f"classes: {path} is larger than {_MOST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"classes: {path} is not UTF-8 text", hint="save it as UTF-8") from error
    found = _of_json(text, path) if path.suffix.lower() == ".json" else _of_lines(text, path)
    try:
        return _names.validate_python(found)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        which = f"name {fault['loc'][0]}: " if fault["loc"] else ""
        raise RecipeError(f"classes: {path}: {which}{_in_words(fault)}") from error


def _in_words(fault: Any) -> str:
    """Say what is wrong with names, or with one of them."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return f"text is wanted, not {fault['input']!r}"


def _of_lines(text: str, path: Path) -> list[str]:
    """Return the lines of a text. An empty one between others would shift the indices of those after it."""
    lines = [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []
    if "" in lines:
        what = f"classes: {path}:{lines.index('') + 1}: the line is empty"
        raise RecipeError(what, hint="one name a line; the first is that of class 0")
    return lines


def _of_json(text: str, path: Path) -> list[Any]:
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"classes: {path} is no JSON: {error}") from error
    if isinstance(found, list):
        return found
    indices = list(map(str, range(len(found)))) if isinstance(found, dict) else []
    if not isinstance(found, dict) or found.keys() != set(indices):
        hint = '["covid", "normal"] or {"0": "covid", "1": "normal"}'
        raise RecipeError(
            f"classes: {path} is neither a list of names nor a mapping of all indices to names", hint=hint
        )
    return [found[index] for index in indices]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping of JSON; a key that stands twice is refused, since only one of its values would count."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice")
        found[key] = value
    return found
