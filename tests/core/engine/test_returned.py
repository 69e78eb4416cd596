"""What plugins return, on results made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.engine.returned import check_per_image, check_result, read_only

VALUES = np.zeros((2, 1, 3))
MAP = ik.Map(values=VALUES, dims=("image", "y", "x"), layer="a", extent={"y": 2, "x": 6}, polarity="signed")
ARRAY = ik.Array(values=np.zeros((2, 4)), dims=("image", "channel"))


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "merge() returned a NoneType, not a Result"),
        (ik.Result(maps=[MAP]), "merge() returned maps in a list, not in a mapping"),
        (ik.Result(arrays={1: ARRAY}), "merge() returned among its arrays a Array under 1, not a Array under a name"),
        (ik.Result(maps={"a": ARRAY}), "merge() returned among its maps a Array under 'a', not a Map under a name"),
        (ik.Result(maps={"a": MAP}, arrays={"a": ARRAY}), "merge() returned a map and an array named 'a'"),
    ],
)
def test_what_is_no_result_of_parts_by_name_is_refused(result, says):
    with pytest.raises(ik.StepError) as refused:
        check_result(result, "merge()")
    assert refused.value.message == says


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (ik.Result(maps={"a": MAP}), "map 'a' has dims ('image', 'y', 'x') and shape 2×1×3 for 3 images"),
        (
            ik.Result(arrays={"a": ik.Array(values=np.zeros((3, 4)), dims=("channel", "y"))}),
            "array 'a' has dims ('channel', 'y') and shape 3×4 for 3 images",
        ),
        (
            ik.Result(tables={"t": ik.Table(value=[1.0])}),
            "table 't' has no column 'image', so its rows belong to no image",
        ),
        (
            ik.Result(tables={"t": ik.Table(image=["p", "z", "y"])}),
            "table 't' has rows about 'y', which is no image of this batch",
        ),
    ],
)
def test_what_is_not_about_the_images_of_the_batch_is_refused(result, says):
    check_result(result, "compute()")
    with pytest.raises(ik.StepError) as refused:
        check_per_image(result, ["p", "q", "r"])
    assert refused.value.message == says


def test_what_others_read_cannot_be_written_into_and_what_was_returned_can():
    table = ik.Table(image=["p", "q"])
    returned = ik.Result(maps={"a": MAP}, arrays={"b": ARRAY}, tables={"t": table})
    check_per_image(returned, ["p", "q"])
    view = read_only(returned)
    for values in (view.maps["a"].values, view.arrays["b"].values, view.tables["t"]["image"]):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = values[1]
    assert view.maps["a"].values.base is VALUES
    VALUES[0] = VALUES[1]
