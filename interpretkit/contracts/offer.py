"""What everything that plugins offer has in common."""

from __future__ import annotations

from pydantic import ConfigDict

from interpretkit.recipe.described import Described


class Options(Described):
    """Base of every plugin's options: unknown keys, wrong types, NaN and infinity are refused.

    What an option is stands in its `Field(description=…)`, or as a text below it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
