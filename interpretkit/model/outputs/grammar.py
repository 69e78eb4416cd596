"""What may stand under `target:`, of any output: the grammar that the options of every method share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Tag, TypeAdapter

from interpretkit.model.outputs.columns import Chosen, Contrast, Opposite, Placed, Top
from interpretkit.model.outputs.vector import Like

_KEYS = {"Top": {"top"}, "Opposite": {"not"}, "Like": {"like"}, "Placed": {"in", "box", "point", "rank"}}
"""The keys that a mapping is known by."""


def _kind(value: Any) -> str:
    """Tell by its keys which target a mapping asks for, so that errors speak of that one alone."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    keys = set(value) if isinstance(value, Mapping) else set()
    for kind, own in _KEYS.items():
        if not keys.isdisjoint(own):
            return kind
    return "Chosen" if keys & {"of", "class"} and keys.isdisjoint({"for", "against"}) else "Contrast"


SingleTarget = (
    int
    | str
    | Annotated[
        Annotated[Contrast, Tag("Contrast")]
        | Annotated[Opposite, Tag("Opposite")]
        | Annotated[Top, Tag("Top")]
        | Annotated[Placed, Tag("Placed")]
        | Annotated[Like, Tag("Like")]
        | Annotated[Chosen, Tag("Chosen")],
        Discriminator(_kind),
    ]
)
"""What is explained of an image: `predicted`, `label`, the name of an output, a class index or name, or a mapping."""

TargetSpec = SingleTarget | list[SingleTarget]
"""What an attribution explains: one target for all images, or a list with one for each."""

parse: TypeAdapter[TargetSpec] = TypeAdapter(TargetSpec)
parse_single: TypeAdapter[SingleTarget] = TypeAdapter(SingleTarget)
