"""What may stand under `target:`, of any output: the grammar that the options of every method share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Tag, TypeAdapter

from interpretkit.model.outputs.columns import Chosen, Contrast, Opposite, Top


def _kind(value: Any) -> str:
    """Tell by its keys which target a mapping asks for, so that errors speak of that one alone."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    keys = set(value) if isinstance(value, Mapping) else set()
    if "top" in keys:
        return "Top"
    if "not" in keys:
        return "Opposite"
    if "of" in keys and keys.isdisjoint({"for", "against"}):
        return "Chosen"
    return "Contrast"


TargetSpec = (
    int
    | str
    | Annotated[
        Annotated[Contrast, Tag("Contrast")]
        | Annotated[Opposite, Tag("Opposite")]
        | Annotated[Top, Tag("Top")]
        | Annotated[Chosen, Tag("Chosen")],
        Discriminator(_kind),
    ]
)
"""What an attribution explains: `predicted`, `label`, the name of an output, a class index or name, or a mapping."""

parse: TypeAdapter[TargetSpec] = TypeAdapter(TargetSpec)
