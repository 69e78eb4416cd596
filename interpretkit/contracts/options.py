"""What everything that plugins offer takes as options, and what nearly all visualizers share of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from interpretkit.model.outputs.grammar import TargetSpec


class Options(BaseModel):
    """Base of every plugin's options: unknown keys, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


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
        description="what to explain: predicted, label, a class index or name, {for: …, against: …}, or {top: 3}",
    )
