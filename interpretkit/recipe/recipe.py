"""A recipe: its entries, the order of its steps, and where each part of it stands. Data only; it knows no plugin."""

from __future__ import annotations

import graphlib
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from interpretkit.errors import Faults, RecipeError, did_you_mean
from interpretkit.recipe.entries import (
    Check,
    CheckEntry,
    Expectation,
    HubWeights,
    Input,
    InputEntry,
    ModelEntry,
    Numerics,
    PathWeights,
    Placed,
    PreprocessingEntry,
    PublishedWeights,
    Slug,
    StepEntry,
)
from interpretkit.recipe.node import Node
from interpretkit.recipe.refusal import explain, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.errors import InterpretkitError
    from interpretkit.recipe.refusal import Refusal

SCHEMA = "interpretkit/1"


@dataclass(frozen=True, slots=True)
class Source:
    """What a recipe was read from.

    Attributes:
        text: What the file contains.
        path: The file, as given.
        root: The recipe as it was typed, `models:` written out; it knows where each part stands.
        unread: Which keys of which entries could not be read: of the recipe itself `()`, of steps `("steps", 2)`.
        faults: What is wrong with it; those of its plugins' options are not known yet.
    """

    text: str = ""
    path: str = ""
    root: Node = field(default_factory=lambda: Node({}, ""))
    unread: Mapping[tuple[str | int, ...], frozenset[str]] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults, compare=False)

    def tell(self, entry: Placed, *loc: str | int) -> None:
        """Tell an entry where it stands, and what of it could not be read."""
        entry.put_at(self.root.at(loc), self.unread.get(loc, frozenset()))


def _schema_with_short_form(schema: dict[str, Any]) -> None:
    """Add to the JSON schema that `model:` may stand for a `models:` of one."""
    entry = schema["properties"]["models"]["additionalProperties"]
    schema["properties"]["model"] = {**entry, "description": "The model, if there is one only."}
    schema["oneOf"] = [{"required": ["model"]}, {"required": ["models"]}]


class Recipe(Placed):
    """A recipe as `read_recipe` returns it: its grammar, its ids and the order of its steps are checked."""

    model_config = ConfigDict(json_schema_extra=_schema_with_short_form)

    schema_: Literal["interpretkit/1"] = Field(alias="schema")
    """The version of this grammar."""
    name: Slug
    """What runs of the recipe are called."""
    models: dict[Slug, ModelEntry] = Field(default_factory=dict)
    """The models by name. `model: …` is the short form of `models: {model: …}`."""
    inputs: Annotated[list[Input], Field(min_length=1)]
    """Files, folders, globs, manifests, samples; or mappings that say more of them."""
    steps: Annotated[list[StepEntry], Field(min_length=1)]
    """What to do with the model."""
    checks: Literal["default", "all", "none"] | Annotated[list[Check], Field(min_length=1)] = "default"
    """Which checks judge the results of the steps: every one that plugins offer, as far as it costs no step its own
    passes once more (default) or in full (all); none; or a list."""
    expect: list[Expectation] = Field(default_factory=list)
    """What the numbers of the run should be: STEP.NUMBER and a comparison."""
    numerics: Numerics = Field(default_factory=Numerics)
    """How to compute."""

    _source: Source = PrivateAttr(default_factory=Source)

    def model_post_init(self, context: Any, /) -> None:
        """Keep what the recipe was read from, and tell every entry where it stands."""
        super().model_post_init(context)
        if not isinstance(context, Source):
            return
        self._source = context
        context.tell(self)
        for key, model in self.models.items():
            context.tell(model, "models", key)
        for position, entry in enumerate(self.inputs):
            if isinstance(entry, InputEntry):
                context.tell(entry, "inputs", position)
        for position, step in enumerate(self.steps):
            context.tell(step, "steps", position)
        for position, check in enumerate(self.checks_listed):
            context.tell(check, "checks", position)
        for position, expectation in enumerate(self.expect):
            context.tell(expectation, "expect", position)

    @property
    def checks_listed(self) -> list[CheckEntry]:
        """The checks that the recipe lists; none where a word says which there are."""
        return [] if isinstance(self.checks, str) else self.checks

    @property
    def text(self) -> str:
        """What the file contains, to the byte: with its byte order mark and line ends."""
        return self._source.text

    @property
    def path(self) -> str:
        """The file, as given."""
        return self._source.path

    @property
    def faults(self) -> tuple[InterpretkitError, ...]:
        """What is wrong with it, in no order; nothing if `read_recipe` returned it.

        One of `read_leniently` holds what could be read, and stand-ins for the keys that it cannot be without.
        """
        return tuple(self._source.faults.found)

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

    def place(self, *loc: str | int, part: Literal["key", "value"] = "value") -> str:
        """Return where a part of the recipe stands, as of any entry; `"model"` is the model of the short form."""
        if loc[:1] == ("model",):
            loc = ("models", *loc)
        return super().place(*loc, part=part)


def faults_of_options(
    entry: CheckEntry | ModelEntry | StepEntry, error: ValidationError, options: type[BaseModel]
) -> list[RecipeError]:
    """Return what a plugin's options refuse of an entry, in plain words, each with its place.

    Args:
        entry: Whose options they are.
        error: What the options raised.
        options: The class of the options.
    """
    given = entry.as_typed("with") or {}
    faults = []
    for refusal in explain(error, options, given, advise=_advise):
        if refusal.missing and refusal.loc[0] in entry.unread:
            continue  # it was typed, but beside `uses:`
        place = entry.place("with", *refusal.loc, part="key" if refusal.at_key else "value")
        beside = refusal.at_key and len(refusal.loc) == 1
        hint = refusal.hint or ("options of a plugin stand under 'with:'" if beside else "")
        faults.append(RecipeError(refusal.message, where=place, hint=hint))
    return faults


_BELONGS: dict[type[BaseModel], str] = {
    Recipe: "at the top level",
    ModelEntry: "beside the 'uses:' of a model",
    InputEntry: "beside the 'path:' of an input",
    PreprocessingEntry: "under 'preprocessing:' of a model",
    StepEntry: "beside the 'uses:' of a step",
    CheckEntry: "beside the 'uses:' of a check",
    Numerics: "under 'numerics:'",
    PathWeights: "beside 'path:' of weights",
    HubWeights: "beside 'hub:' of weights",
    PublishedWeights: "beside 'published:' of weights",
}


def _keys(model: type[BaseModel]) -> list[str]:
    keys = keys_of(model)
    if model is Recipe:
        keys.append("model")
    return keys


def _advise(key: str, models: Sequence[type[BaseModel]]) -> str:
    """Return a hint about an unknown key: the nearest known one, and where the key would be known."""
    # A key that only another of the models reads does not stand beside those that are there.
    keys = [name for model in models for name in _keys(model) if name != key]
    known = list(dict.fromkeys(keys))
    hints = [did_you_mean(key, known)]
    homes = [place for model, place in _BELONGS.items() if key in _keys(model)]
    if homes:
        hints.append(f"{key!r} belongs {' or '.join(homes)}")
    elif ModelEntry in models or StepEntry in models:
        hints.append("options of a plugin stand under 'with:'")
    advice = "; ".join(hint for hint in hints if hint)
    return advice or f"known keys: {', '.join(known) or 'none'}"


def refusals_of(error: ValidationError, root: Node) -> list[Refusal]:
    """Return why what was typed is no recipe, in plain words."""
    return explain(error, Recipe, root.plain(), advise=_advise)
