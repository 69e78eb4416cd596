from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.contracts.registry import Plugin
from interpretkit.engine.gather import Gather
from interpretkit.engine.resolve import Step
from interpretkit.testing import tiny_images, tiny_model

PLUGIN = """
import numpy as np
from interpretkit import Map, Reduction, Result, Visualizer, hookimpl


def nothing():
    return Map(values=np.zeros(1), dims=("x",), layer="0", extent={"x": 1}, polarity="signed")


class Sum(Reduction):
    '''Does it wrong in one of its methods.'''
    name = "sum"

    class Options(Reduction.Options):
        how: str
        '''How.'''

    def compute(self, captured):
        return Result()

    def merge(self, first, second):
        return self.wrong("merge", first)

    def finish(self, result):
        return self.wrong("finish", result)

    def wrong(self, method, result):
        if self.options.how == f"{method} raises":
            raise ValueError("no\\nsum")
        found = {f"{method} gives none": None, f"{method} gives a number": Result(maps={3: nothing()})}
        return found.get(self.options.how, result)


@hookimpl
def interpretkit_visualizers():
    yield Sum
"""


class Numbers(ik.Visualizer):
    """One number for each image."""

    name = "numbers"

    def compute(self, captured):
        return ik.Result()


class Greatest(Numbers, ik.Reduction):
    """The greatest of all numbers, and how often two were compared."""

    name = "greatest"

    def merge(self, first, second):
        return of_set(
            max(first.tables["t"]["n"][0], second.tables["t"]["n"][0]),
            first.tables["t"]["merges"][0] + second.tables["t"]["merges"][0] + 1,
        )

    def finish(self, result):
        return of_set(-result.tables["t"]["n"][0], result.tables["t"]["merges"][0])


def of_set(number, merges=0):
    return ik.Result(tables={"t": ik.Table(n=[number], merges=[merges])})


def of_images(*numbers, size=1, name="m"):
    values = np.repeat(np.array(numbers, np.float32), size).reshape(-1, 1, size)
    ids = [f"image{number}" for number in numbers]
    return ik.Result(
        maps={
            name: ik.Map(values=values, dims=("image", "y", "x"), layer="0", extent={"y": 1, "x": 1}, polarity="signed")
        },
        tables={"t": ik.Table(image=ids, n=list(numbers))},
        images=tuple(ik.InputImage(id=each, source="", sha256="", size=(1, 1)) for each in ids),
        targets=tuple(ik.Target(spec=n, label=str(n), score=0.0, probability=0.0) for n in numbers),
    )


def gather(kind, *results):
    found = Gather(Step(id="s", visualizer=kind(kind.Options()), plugin=Plugin("test"), model="model"))
    for each in results:
        found.add(each)
    return found


GROUPINGS = [[[1, 2, 3, 4]], [[1], [2, 3], [4]], [[1, 2], [3], [4]]]


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_results_of_images_are_stacked_in_their_order_whatever_the_grouping(grouping):
    whole = gather(Numbers, *(of_images(*group) for group in grouping)).whole()
    assert whole.maps["m"].values.tolist() == [[[1]], [[2]], [[3]], [[4]]]
    assert whole.tables["t"]["n"].tolist() == [1, 2, 3, 4]
    assert [image.id for image in whole.images] == ["image1", "image2", "image3", "image4"]
    assert [target.index for target in whole.targets] == [1, 2, 3, 4]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_two_gatherings_make_the_one_of_all_their_parts(split):
    parts = [3, 9, 2, 4]
    first = gather(Greatest, *map(of_set, parts[:split]))
    first.merge(gather(Greatest, *map(of_set, parts[split:])))
    found = first.whole().tables["t"]
    assert (found["n"].tolist(), found["merges"].tolist()) == ([-9], [3])


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (of_images(2, size=3), "the maps 'm' differ in size: 1×1, 1×3"),
        (of_images(2, name="n"), "only some images have a map 'm'"),
        (ik.Result(maps=of_images(2).maps), "only some images have a table 't'"),
    ],
)
def test_what_makes_no_one_array_or_table_is_refused(other, says):
    with pytest.raises(ik.InputError, match=says):
        gather(Numbers, of_images(1), other).whole()


class TestFaults:
    says: ClassVar[dict[str, str]] = {
        "raises": "{} failed: ValueError: no",
        "gives none": "{} returned a NoneType, not a Result",
        "gives a number": "{} returned among its maps a Map under 3, not a Map under a name",
    }

    @pytest.mark.parametrize("method", ["merge", "finish"])
    @pytest.mark.parametrize("fault", says)
    def test_a_faulty_reduction_is_named_with_its_plugin_in_python_too(self, monkeypatch, tmp_path, method, fault):
        from interpretkit.contracts.registry import discover

        monkeypatch.chdir(tmp_path)
        Path("sums.py").write_text(PLUGIN)
        registry = discover([Path("sums.py")])
        monkeypatch.setattr("interpretkit.api.discover", lambda _files: registry)
        with pytest.raises(ik.StepError) as caught:
            ik.visualize(tiny_model(), tiny_images(2), "sum", how=f"{method} {fault}", batch_size=1)
        assert str(caught.value) == f"step 'sum' (sum, sums.py): {self.says[fault].format(f'{method}()')}"
