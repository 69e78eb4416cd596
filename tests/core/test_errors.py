from __future__ import annotations

import copy
import pickle
import random
import string
import traceback

import pytest

from interpretkit.errors import (
    Faults,
    FaultsError,
    InputError,
    PluginError,
    RecipeError,
    StepError,
    located,
    nearest,
    together,
)


class StrangerError(StepError):
    """An error of a plugin's own, with arguments of its own."""

    def __init__(self, layer: str, count: int) -> None:
        super().__init__(f"{layer} has {count} channels", hint="too few")
        self.count = count


def raised(function) -> Exception:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def test_an_error_gets_a_place_as_a_copy_and_only_once():
    def fail():
        try:
            {}["a"]
        except KeyError as error:
            raise StrangerError("conv", 3) from error

    error = raised(fail)
    placed = error.at("here")
    assert (type(placed), placed.where, placed.at("there").where) == (StrangerError, "here", "here")
    assert (placed.message, placed.hint, placed.count) == ("conv has 3 channels", "too few", 3)
    assert error.where == ""
    assert isinstance(placed.__cause__, KeyError)
    assert [frame.name for frame in traceback.extract_tb(placed.__traceback__)] == ["raised", "fail"]


def test_located_leaves_places_and_causes_of_ours_alone():
    def fail(error):
        with located("outside"), located("inside", doing="compute()"):
            raise error from KeyError("a")

    found = raised(lambda: fail(InputError("no mask", hint="add one")))
    assert (type(found), str(found)) == (InputError, "inside: no mask (add one)")
    assert isinstance(found.__cause__, KeyError)
    assert "During handling" not in "".join(traceback.format_exception(found))


@pytest.mark.parametrize(
    ("doing", "kind", "says"),
    [("draw()", StepError, "here: draw() failed: ValueError: no"), ("", PluginError, "here: ValueError: no")],
)
def test_located_turns_a_strangers_exception_into_ours(doing, kind, says):
    def fail():
        with located("here", doing=doing, kind=kind):
            raise ValueError("no\ngood")

    found = raised(fail)
    assert (type(found), str(found)) == (kind, says)
    assert isinstance(found.__cause__, ValueError)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit])
def test_located_lets_through_what_is_no_error(stop):
    with pytest.raises(stop), located("here"):
        raise stop


def test_faults_are_told_once_in_the_order_of_the_file_and_with_the_exit_code_of_the_first():
    places = ["--set #10", "r.yaml:10:1", "-i #2", "r.yaml:9:12", "r.yaml:9:2", "--set #9", "", "r.yaml:9"]
    faults = Faults()
    for place in [*places, "r.yaml:9:12"]:
        with faults.collect():
            raise (InputError if place == "" else RecipeError)("wrong", where=place)
    with pytest.raises(FaultsError) as caught:
        faults.tell()
    assert [each.where for each in caught.value.faults] == [
        "", "r.yaml:9", "r.yaml:9:2", "r.yaml:9:12", "r.yaml:10:1", "--set #9", "--set #10", "-i #2",
    ]  # fmt: skip
    assert caught.value.exit_code == InputError.exit_code
    assert str(caught.value).splitlines() == [str(each) for each in caught.value.faults]


def test_one_fault_alone_is_raised_itself_and_none_is_nothing():
    faults = Faults()
    faults.tell()
    error = InputError("wrong")
    with faults.collect():
        raise error
    assert raised(faults.tell) is error


def test_several_faults_are_placed_one_by_one():
    placed = together([RecipeError("a"), RecipeError("b", where="there")]).at("here")
    assert str(placed) == "here: a\nthere: b"


def test_several_faults_can_be_copied_and_sent():
    error = together([InputError("a", where="here"), RecipeError("b", hint="do c", subject=["d"])])
    for another in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert (str(another), another.exit_code) == (str(error), 4)
        assert [(each.where, each.hint, each.subject) for each in another.faults] == [
            ("here", "", None),
            ("", "do c", ["d"]),
        ]


@pytest.mark.parametrize("count", [20, 21, 27])
def test_of_more_than_twenty_faults_the_others_are_counted(count):
    lines = str(together([RecipeError(str(number)) for number in range(count)])).splitlines()
    assert lines[:20] == [str(number) for number in range(20)]
    assert lines[20:] == ([f"and {count - 20} more"] if count > 20 else [])


def misspelt(name: str, edits: int, rng: random.Random) -> str:
    """Return a name with some letters put in, left out, changed or swapped with the next."""
    for _ in range(edits):
        place = rng.randrange(len(name))
        head, letter, tail = name[:place], name[place], name[place + 1 :]
        other = rng.choice(string.ascii_lowercase)
        name = rng.choice(
            [head + other + letter + tail, head + tail, head + other + tail, head + tail[:1] + letter + tail[1:]]
        )
        name = name or other
    return name


@pytest.mark.parametrize("edits", [1, 2])
def test_of_the_1000_classes_of_imagenet_the_right_one_is_suggested_for_a_misspelt_name(edits):
    from torchvision.models import ResNet50_Weights

    classes = ResNet50_Weights.DEFAULT.meta["categories"]
    rng = random.Random(edits)  # noqa: S311 - no secret
    names = {name.casefold() for name in classes}
    cases = [(name, misspelt(name, edits, rng)) for name in rng.sample(classes, 400)]
    cases = [(name, text) for name, text in cases if text.casefold() not in names]
    right = [name for name, text in cases if name in nearest(text, classes)]
    assert len(cases) > 300
    assert len(right) >= 0.97 * len(cases)


@pytest.mark.parametrize(
    ("name", "candidates", "found"),
    [
        ("predict", ["projector", "predicted", "label"], ["predicted"]),
        ("lable", ["table lamp", "label"], ["label"]),
        ("cat", ["tench", "bearcat", "tiger cat", "Persian cat"], ["tiger cat", "Persian cat"]),
        ("tabby, tabby cat", ["tench", "tabby"], ["tabby"]),
        ("grad-cam", ["grad_cam", "grad_cam_plusplus"], ["grad_cam"]),
        ("Tiger-Cat", ["tiger cat", "tiger"], ["tiger cat"]),
        ("size", ["batch_size", "seed"], ["batch_size"]),
        ("stgae4.rbr_dense", ["stage4.rbr_dense", "stage4"], ["stage4.rbr_dense"]),
        ("feature maps", ["feature_grid", "occlusion"], ["feature_grid"]),
        ("for", ["against", "top"], []),
        ("xyz", ["a", "b"], []),
        ("a", [], []),
        ("", ["ab"], []),
        ("9", ["0", "1", "10"], []),
    ],
)
def test_what_a_word_may_stand_for(name, candidates, found):
    assert sorted(nearest(name, candidates)) == sorted(found)
