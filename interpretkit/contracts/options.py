"""What everything that plugins offer takes as options, and what nearly all visualizers share of them."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from interpretkit.model.outputs.grammar import TargetSpec
from interpretkit.recipe.described import Described


class Options(Described):
    """Base of every plugin's options: unknown keys, wrong types, NaN and infinity are refused.

    What an option is stands in its `Field(description=…)`, or as a text below it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Layered(Options):
    """At which layers.

    Example:
        >>> class Options(Layered):
        ...     top: int = 8
        ...     '''how many channels to show'''
        >>> Options(layers=["stage4"]).layers
        ['stage4']
    """

    layers: list[str] = Field(min_length=1, description="layers to look at: names or globs")


class Targeted(Options):
    """What is explained."""

    target: TargetSpec = Field(
        default="predicted",
        description="what to explain: predicted, label, a class index or name, {not: …}, {for: …, against: …}, or "
        "{top: 3}; in pixels and boxes also {class: …, point: [x, y]}, of a vector {like: IMAGE}; or a list, one for "
        "each image",
    )
