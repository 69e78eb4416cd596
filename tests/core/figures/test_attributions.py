from __future__ import annotations

import numpy as np
import pytest

from interpretkit import figures


@pytest.mark.parametrize(("cells", "fine"), [(64, False), (65, True), (224, True)])
def test_only_a_fine_attribution_map_is_averaged_and_drawn_within_robust_limits(random, cells, fine, entries):
    values = random.standard_cauchy((cells, cells))
    pixels = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    found = entries(figures.attribution(values, pixels, title="t", polarity="signed"))
    heat = figures.heatmap(values, title=f"signed, native {cells}×{cells}", polarity="signed", robust=fine)
    expected = np.asarray(heat.convert("RGB"))
    top = found.shape[0] - expected.shape[0]
    assert np.array_equal(found[top:, -expected.shape[1] :], expected)
