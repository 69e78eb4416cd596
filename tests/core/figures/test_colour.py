from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from interpretkit.figures.colour import CROSS, DEAD, FLAT, INK, LEVELS, NOT_FINITE, PAPER, palette

MARKS = {DEAD, CROSS, FLAT, NOT_FINITE}


@pytest.mark.parametrize("colours", ["viridis", "inferno", "coolwarm"])
def test_the_palette_holds_matplotlibs_own_colours_at_every_level(colours):
    expected = mpl.colormaps[colours].resampled(LEVELS)(np.arange(LEVELS) / (LEVELS - 1), bytes=True)[:, :3]
    assert np.array_equal(palette(colours)[:LEVELS], expected)
    assert len({tuple(entry) for entry in palette(colours)[[PAPER, INK, *MARKS]].tolist()}) == 6
