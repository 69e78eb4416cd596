"""A recipe: its entries, the order of its steps, and where each part of it stands. Data only; it knows no plugin."""

from __future__ import annotations

import graphlib
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from interpretkit.errors import RecipeError, did_you_mean
from interpretkit.recipe.entries import (
    Entry,
    Filled,
    HubWeights,
    ModelEntry,
    Numerics,
    PathWeights,
    PublishedWeights,
    Slug,
    StepEntry,
)
from interpretkit.recipe.node import Node
from interpretkit.recipe.refusal import explain, keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "interpretkit/1"


@dataclass(frozen=True, slots=True)
class _Source:
    """What a recipe was read from, and where each part of it stands."""

    text: str = ""
    path: str = ""
    root: Node = field(default_factory=lambda: Node({}, ""))


def _schema_with_short_form(schema: dict[str, Any]) -> None:
    """Add to the JSON schema that `model:` may stand for a `models:` of one."""
    entry = schema["properties"]["models"]["additionalProperties"]
    schema["properties"]["model"] = {**entry, "description": "The model, if there is one only."}
    schema["oneOf"] = [{"required": ["model"]}, {"required": ["models"]}]


class Recipe(Entry):
    """A recipe as `read_recipe` returns it: its grammar, its ids and the order of its steps are checked."""

    model_config = ConfigDict(json_schema_extra=_schema_with_short_form)

    schema_: Literal["interpretkit/1"] = Field(alias="schema")
    """The version of this grammar."""
    name: Slug
    """What runs of the recipe are called."""
    models: dict[Slug, ModelEntry] = Field(default_factory=dict)
    """The models by name. `model: …` is the short form of `models: {model: …}`."""
    inputs: Annotated[list[Filled], Field(min_length=1)]
    """Files, folders, globs, a CSV manifest, samples."""
    steps: Annotated[list[StepEntry], Field(min_length=1)]
    """What to do with the model."""
    numerics: Numerics = Field(default_factory=Numerics)
    """How to compute."""

    _source: _Source = PrivateAttr(default_factory=_Source)

    def model_post_init(self, context: Any, /) -> None:
        """Keep what the recipe was read from."""
        if isinstance(context, _Source):
            self._source = context

    @property
    def text(self) -> str:
        """What the file contains, to the byte: with its byte order mark and line ends."""
        return self._source.text

    @property
    def path(self) -> str:
        """The file, as given."""
        return self._source.path

    def ordered_steps(self) -> tuple[StepEntry, ...]:
        """Return the steps so that each comes after those it reads, and else in the order of the file."""
        index = {step.id: position for position, step in enumerate(self.steps)}
        sorter = graphlib.TopologicalSorter({step.id: step.of for step in self.steps})
        sorter.prepare()
        ready: list[int] = []
        order = []
        while sorter.is_active():
            for name in sorter.get_ready():
                heapq.heappush(ready, index[name])
            step = self.steps[heapq.heappop(ready)]
            order.append(step)
            sorter.done(step.id)
        return tuple(order)

    def place(self, loc: Sequence[str | int], *, part: Literal["key", "value"] = "value") -> str:
        """Return where something stands: `file:line:column` from 1, or the `--set #n` that put it there.

        Args:
            loc: Keys and indices from the top, such as `("steps", 2, "with", "layers")`. If nothing stands there, the
                nearest thing around it counts.
            part: Whether the place of the key or of the value is wanted.
        """
        if loc[:1] == ("model",):
            loc = ("models", *loc)
        return self._source.root.place_of(loc, part)

    def refuse(self, error: ValidationError, loc: Sequence[str | int], options: type[BaseModel]) -> RecipeError:
        """Return the error about a plugin's options in plain words, with its place.

        Args:
            error: What the options raised.
            loc: Where their data stand in the recipe.
            options: The class of the options.
        """
        return _refused(error, options, self._source.root, loc)


_BELONGS: dict[type[BaseModel], str] = {
    Recipe: "at the top level",
    ModelEntry: "beside the 'uses:' of a model",
    StepEntry: "beside the 'uses:' of a step",
    Numerics: "under 'numerics:'",
    PathWeights: "beside 'path:' of weights",
    HubWeights: "beside 'hub:' of weights",
    PublishedWeights: "beside 'published:' of weights",
}


def _keys(model: type[BaseModel]) -> list[str]:
    return [*keys_of(model), "model"] if model is Recipe else keys_of(model)


def _advise(key: str, models: Sequence[type[BaseModel]]) -> str:
    """Return a hint about an unknown key: the nearest known one, and where the key would be known."""
    # A key that only another of the models reads does not stand beside those that are there.
    known = list(dict.fromkeys(each for model in models for each in _keys(model) if each != key))
    hints = [did_you_mean(key, known)]
    homes = [place for model, place in _BELONGS.items() if key in _keys(model)]
    if homes:
        hints.append(f"{key!r} belongs {' or '.join(homes)}")
    elif ModelEntry in models or StepEntry in models:
        hints.append("options of a plugin stand under 'with:'")
    return "; ".join(filter(None, hints)) or f"known keys: {', '.join(known) or 'none'}"


def _refused(error: ValidationError, model: type[BaseModel], root: Node, loc: Sequence[str | int] = ()) -> RecipeError:
    node: Node | None = root
    for part in loc:
        node = node.child(part) if node else None
    refusal = explain(error, model, node.plain() if node else {}, advise=_advise)
    where = root.place_of((*loc, *refusal.loc), "key" if refusal.at_key else "value")
    option = bool(loc) and refusal.at_key and len(refusal.loc) == 1
    hint = refusal.hint or ("options of a plugin stand under 'with:'" if option else "")
    return RecipeError(refusal.message, where=where, hint=hint)
