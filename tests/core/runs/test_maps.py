from __future__ import annotations

import numpy as np
import pytest

from interpretkit.results.result import Result


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.float32).reshape(1, 4, 3).transpose(0, 2, 1),
        np.arange(12, dtype=">f4").reshape(1, 3, 4),
        np.arange(24, dtype=np.float32).reshape(1, 3, 8)[..., ::2],
        np.zeros((1, 0, 4), np.float32),
    ],
    ids=["transposed", "big-endian", "strided", "empty"],
)
def test_a_map_reads_back_whatever_its_layout_in_memory(tmp_path, values, *, image, cam, stored, assert_same):
    found = stored(tmp_path, Result(maps={"stage4": cam(values)}, images=(image("cat"),)))
    assert_same(found.results["step"].maps["stage4"].values, np.ascontiguousarray(values, np.float32))
