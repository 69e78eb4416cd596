"""The preprocessing that a recipe gives a model, in place of the one that its builder gives it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interpretkit import words
from interpretkit.errors import RecipeError, located
from interpretkit.model.expected import channels_taken
from interpretkit.model.preprocessing import Preprocessing

if TYPE_CHECKING:
    from interpretkit.model.model import Model
    from interpretkit.recipe.entries import ModelEntry, PreprocessingEntry

_WHOLE = ("resize", "crop", "mean", "std")
_OF_CHANNELS = ("mean", "std")


def prepared(model: Model, entry: ModelEntry) -> Model:
    """Return a model with the preprocessing of its entry; the model itself where that says nothing of it.

    Raises:
        RecipeError: If it does not fit the network, or leaves open what the builder does not say as values.
    """
    if entry.preprocessing is None:
        return model
    with located(entry.place("preprocessing")):
        return replace(model, preprocessing=_changed(model, entry.preprocessing))


def _changed(model: Model, asked: PreprocessingEntry) -> Preprocessing:
    stated = {key: getattr(asked, key) for key in sorted(asked.model_fields_set)}
    usual = model.preprocessing
    if not isinstance(usual, Preprocessing):
        missing = [key for key in _WHOLE if key not in stated]
        if missing:
            what = f"the preprocessing of {model.name} is no list of values, so all of it is to be stated"
            raise RecipeError(what, hint=f"add {', '.join(missing)}")
        channels = channels_taken(model.module)[0]
        usual = Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels)
    changes: dict[str, Any] = {key: _tupled(stated[key]) for key in ("resize", "crop") if key in stated}
    changes |= {key: _for_each(key, stated[key], usual) for key in _OF_CHANNELS if key in stated}
    if asked.interpolation:
        changes["interpolation"] = asked.interpolation
    return replace(usual, **changes)


def _for_each(key: str, value: float | list[float], usual: Preprocessing) -> tuple[float, ...]:
    """Return a number for each channel."""
    channels = len(usual.std)
    if not isinstance(value, list):
        return (float(value),) * channels
    if len(value) != channels:
        given, taken = words.count(len(value), "number"), words.count(channels, "channel")
        raise RecipeError(
            f"{key} has {given}, and the network takes {taken}", hint="give one for each, or a single number for all"
        )
    return tuple(map(float, value))


def _tupled(lengths: Any) -> Any:
    return tuple(lengths) if isinstance(lengths, list) else lengths
