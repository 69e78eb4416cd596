"""The table of variants: what tells one RepVGG from another."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = Literal["train", "deploy"]
VariantName = Literal["B0"]

_BASE_WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of the table.

    Attributes:
        blocks: Number of blocks of stage1 … stage4; stage0 is a single block.
        multipliers: Factors of the widths 64, 128, 256 and 512 of stage1 … stage4.

    Example:
        >>> VARIANTS["B0"].widths
        (64, 64, 128, 256, 1280)
    """

    blocks: tuple[int, int, int, int]
    multipliers: tuple[float, float, float, float]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of stage0 … stage4."""
        stages = [int(base * factor) for base, factor in zip(_BASE_WIDTHS, self.multipliers, strict=True)]
        return (min(_BASE_WIDTHS[0], stages[0]), *stages)

    @property
    def last_blocks(self) -> dict[str, str]:
        """The path of the last block of each stage, by stage; stage0 is a block itself and stays out."""
        return {f"stage{number}": f"stage{number}.{count - 1}" for number, count in enumerate(self.blocks, start=1)}


VARIANTS: Mapping[VariantName, Variant] = MappingProxyType(
    {
        "B0": Variant(blocks=(4, 6, 16, 1), multipliers=(1, 1, 1, 2.5)),
    }
)
