"""The table of variants: what tells one RepVGG from another."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Form = Literal["train", "deploy"]
VariantName = Literal[
    "A0", "A1", "A2", "B0", "B1", "B1g2", "B1g4", "B2", "B2g2", "B2g4", "B3", "B3g2", "B3g4", "D2se", "L2pse"
]  # fmt: skip

_BASE_WIDTHS = (64, 128, 256, 512)
_LAST_GROUPED = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of the table.

    Attributes:
        blocks: Number of blocks of stage1 … stage4; stage0 is a single block.
        multipliers: Factors of the widths 64, 128, 256 and 512 of stage1 … stage4.
        groups: Groups of the convolutions of every other block; see `groups_of`.
        se: By how much squeeze-and-excitation before the ReLU narrows its hidden layer; 0 for none.
        post_se: The same after the ReLU; with it the network is a RepVGGplus.
        resize: Length in pixels to which the published evaluation resizes the shorter side of an image.
        crop: Side in pixels of the square that it cuts from the centre.

    Example:
        >>> VARIANTS["B0"].widths
        (64, 64, 128, 256, 1280)
        >>> [VARIANTS["B1g4"].groups_of(index) for index in range(5)]
        [1, 1, 4, 1, 4]
    """

    blocks: tuple[int, int, int, int]
    multipliers: tuple[float, float, float, float]
    groups: int = 1
    se: int = 0
    post_se: int = 0
    resize: int = field(default=256, compare=False)
    crop: int = field(default=224, compare=False)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of stage0 … stage4."""
        stages = [int(base * factor) for base, factor in zip(_BASE_WIDTHS, self.multipliers, strict=True)]
        return (min(_BASE_WIDTHS[0], stages[0]), *stages)

    def groups_of(self, index: int) -> int:
        """Return the groups of a block by its place in the network: stage0 is 0, the first block of stage1 is 1."""
        return self.groups if index % 2 == 0 and 0 < index <= _LAST_GROUPED else 1

    def __str__(self) -> str:
        name = next((name for name, row in VARIANTS.items() if row == self), None)
        if name is not None:
            return name
        depths, widths = "-".join(map(str, self.blocks)), "-".join(map(str, self.widths[1:]))
        return f"depths {depths} and widths {widths}"


def custom(depths: Sequence[int], widths: Sequence[int], *, groups: int = 1, se: int = 0, post_se: int = 0) -> Variant:
    """Return a row that is not in the table.

    Args:
        depths: Number of blocks of stage1 … stage4.
        widths: Channels of stage1 … stage4; stage0 has as many as stage1, and at most 64.
        groups: As in `Variant`.
        se: As in `Variant`.
        post_se: As in `Variant`.

    Example:
        >>> custom([4, 6, 16, 1], [64, 128, 256, 1280]) == VARIANTS["B0"]
        True
    """
    one, two, three, four = depths
    factors = [width / base for width, base in zip(widths, _BASE_WIDTHS, strict=True)]
    return Variant(
        blocks=(one, two, three, four),
        multipliers=(factors[0], factors[1], factors[2], factors[3]),
        groups=groups,
        se=se,
        post_se=post_se,
    )


_A = (2, 4, 14, 1)
_B = (4, 6, 16, 1)
_D = (8, 14, 24, 1)

VARIANTS: Mapping[VariantName, Variant] = MappingProxyType(
    {
        "A0": Variant(blocks=_A, multipliers=(0.75, 0.75, 0.75, 2.5)),
        "A1": Variant(blocks=_A, multipliers=(1, 1, 1, 2.5)),
        "A2": Variant(blocks=_A, multipliers=(1.5, 1.5, 1.5, 2.75)),
        "B0": Variant(blocks=_B, multipliers=(1, 1, 1, 2.5)),
        "B1": Variant(blocks=_B, multipliers=(2, 2, 2, 4)),
        "B1g2": Variant(blocks=_B, multipliers=(2, 2, 2, 4), groups=2),
        "B1g4": Variant(blocks=_B, multipliers=(2, 2, 2, 4), groups=4),
        "B2": Variant(blocks=_B, multipliers=(2.5, 2.5, 2.5, 5)),
        "B2g2": Variant(blocks=_B, multipliers=(2.5, 2.5, 2.5, 5), groups=2),
        "B2g4": Variant(blocks=_B, multipliers=(2.5, 2.5, 2.5, 5), groups=4),
        "B3": Variant(blocks=_B, multipliers=(3, 3, 3, 5)),
        "B3g2": Variant(blocks=_B, multipliers=(3, 3, 3, 5), groups=2),
        "B3g4": Variant(blocks=_B, multipliers=(3, 3, 3, 5), groups=4),
        "D2se": Variant(blocks=_D, multipliers=(2.5, 2.5, 2.5, 5), se=16, resize=320, crop=320),
        "L2pse": Variant(blocks=_D, multipliers=(2.5, 2.5, 2.5, 5), post_se=4, resize=320, crop=320),
    }
)
