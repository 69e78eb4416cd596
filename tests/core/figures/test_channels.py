from __future__ import annotations

import numpy as np

from interpretkit import figures


def test_a_survey_finds_what_a_loop_over_channels_finds(random):
    values = np.abs(random.standard_normal((40, 5, 6))).astype(np.float32)
    values[3] = 0
    values[7] = 2.5
    values[9, 1, 1] = np.nan
    values[11] = np.inf
    values[13] = 1e-9 * values[13]
    found = figures.survey(values)
    finite = values[np.isfinite(values)].astype(np.float64)
    assert found.limits == (finite.min(), finite.max())
    for index, channel in enumerate(values.astype(np.float64)):
        kept = channel[np.isfinite(channel)]
        assert found.dead[index] == (not channel.any())
        assert found.broken[index] == (kept.size < channel.size)
        assert found.flat[index] == (index in {7, 13})
        assert (found.low[index], found.high[index]) == ((kept.min(), kept.max()) if kept.size else (0, 0))
    assert figures.survey(values[:3], limits=(-50.0, 0.1)).limits == (-50.0, values[:3].max())
