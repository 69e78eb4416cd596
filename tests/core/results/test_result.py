from __future__ import annotations

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.results.axes import Array

IDS = ["a", "b", "c"]


def result(each_has=1):
    values = np.arange(12.0).reshape(3, 2, 2)
    extent = {"y": 8, "x": 8}
    targets = [ik.Target(spec=number, label=str(number), score=0.0) for number in range(3 * each_has)]
    return ik.Result(
        maps={"m": ik.Map(values=values, dims=("image", "y", "x"), layer="m", extent=extent, polarity="signed")},
        arrays={"n": Array(values=values[:, 0], dims=("image", "channel"))},
        tables={"t": ik.Table(image=["b", "a", "b"], n=[1, 2, 3])},
        images=tuple(ik.InputImage(id=each, source="", sha256="", size=(8, 8)) for each in IDS),
        targets=tuple(targets),
    )


@pytest.mark.parametrize("each_has", [0, 1, 2])
@pytest.mark.parametrize("chosen", [["b"], ["c", "a"], IDS, []])
def test_the_part_of_some_images_is_what_a_loop_over_them_takes(chosen, each_has):
    whole = result(each_has)
    part = whole.select(*chosen)
    positions = [IDS.index(each) for each in chosen]
    assert [image.id for image in part.images] == chosen
    assert part.maps["m"].values.tolist() == [whole.maps["m"].values[k].tolist() for k in positions]
    assert part.arrays["n"].values.tolist() == [whole.arrays["n"].values[k].tolist() for k in positions]
    assert list(part.tables["t"].rows()) == [row for row in whole.tables["t"].rows() if row[0] in chosen]
    expected = [k * each_has + rank for k in positions for rank in range(each_has)]
    assert [target.index for target in part.targets] == expected


def test_an_image_that_a_result_is_not_about_is_refused_with_the_nearest():
    with pytest.raises(ik.InputError, match=r"not about image 'aa' \(did you mean 'a'\?\)"):
        result().select("a", "aa")


def test_what_is_printed_names_the_parts():
    assert repr(result()) == "Result(maps m; arrays n; tables t; of 3 images)"
    assert repr(ik.Result()) == "Result(of no image)"
