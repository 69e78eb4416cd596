"""Runs as a whole: several models, images of several sizes, sameness of two runs."""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import interpretkit as ik
from interpretkit.engine.carry_out import carry_out
from interpretkit.runs.verify import verify

PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl


class Free(ModelBuilder):
    '''A net for images of any size.'''
    name = "free"

    class Options(ModelBuilder.Options):
        width: int = 4
        '''Channels.'''

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, self.options.width, 3, padding=1), nn.ReLU(inplace=True))
        net.add_module("pool", nn.AdaptiveAvgPool2d(1))
        net.add_module("flat", nn.Flatten())
        net.add_module("head", nn.Linear(self.options.width, 3))
        if state is not None:
            net.load_state_dict(state)
        return Model(module=net, name=f"Free-{self.options.width}", preprocessing=Preprocessing(resize=None, crop=None))


@hookimpl
def interpretkit_models():
    yield Free
"""

RECIPE = """schema: interpretkit/1
name: both
models:
  narrow: {uses: free}
  wide: {uses: free, with: {width: 6}}
inputs: [images]
steps:
  - {id: agreement, uses: compare, of: [cam_narrow, cam_wide]}
  - {id: cam_narrow, uses: grad_cam, model: narrow, with: {layers: ["1"], target: 0}}
  - {id: cam_wide, uses: grad_cam, model: wide, with: {layers: ["1"], target: 0}}
  - {id: stats, uses: channel_stats, model: wide, with: {layers: ["1"]}}
numerics: {seed: 3, batch_size: 2, dtype: float64}
"""

SIZES = {"a": (8, 6), "b": (8, 6), "c": (5, 9), "d": (8, 6)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name, (width, height) in SIZES.items():
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**more):
    return ik.run("recipe.yaml", plugins=["plugin.py"], **more)


def test_models_and_images_of_different_sizes_go_through_one_recipe(folder):
    opened = run()
    assert opened.status == "complete"
    assert [step["id"] for step in opened.manifest["steps"]] == ["cam_narrow", "cam_wide", "agreement", "stats"]
    assert {image["id"] for image in opened.manifest["inputs"]} == set(SIZES)
    for name, (width, height) in SIZES.items():
        assert opened.result("cam_wide", image=name).maps["1"].values.shape == (1, height, width)
        pictures = next(image for image in opened.manifest["inputs"] if image["id"] == name)["pictures"]
        assert sorted(pictures) == ["narrow", "wide"]
    pairs = opened.results["agreement"].tables["pairs"]
    assert len(pairs) == len(SIZES) * 4
    assert set(pairs["first"].tolist()) == {"cam_narrow/1", "cam_wide/1"}
    counted = sum(width * height for width, height in SIZES.values())
    assert opened.results["stats"].tables["channels"]["count"].tolist() == [counted] * 6
    assert verify(opened.path) == []


def test_results_equal_those_of_the_plain_network(folder):
    opened = run()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU())
        head = torch.nn.Linear(6, 3)
    pixels = np.asarray(Image.open(folder / "images" / "c.png"), dtype=np.float64) / 255
    mean, std = ik.Preprocessing().mean, ik.Preprocessing().std
    fed = torch.from_numpy(((pixels - mean) / std).transpose(2, 0, 1))[None]
    with torch.no_grad():
        activation = net.double()(fed)
    # Before GAP and a linear layer Grad-CAM is the class's weights times the channels, over the number of cells.
    expected = torch.einsum("k,kyx->yx", head.weight[0].double(), activation[0]) / activation[0, 0].numel()
    found = opened.result("cam_wide", image="c").maps["1"].values[0]
    # The pixels go through float32 on the way.
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_a_second_run_gives_the_same_arrays_bit_for_bit(folder):
    first, second = run(), run()
    assert first.path != second.path

    def arrays(opened):
        steps = opened.manifest["steps"]
        return {(step["id"], m["image"], m["key"]): m["sha256"] for step in steps for m in step["maps"]} | {
            (step["id"], table["name"]): table["sha256"] for step in steps for table in step["tables"]
        }

    assert arrays(first) == arrays(second)
    assert len(arrays(first)) > 8
    other = run(set={"numerics.seed": 4})
    assert arrays(other).keys() == arrays(first).keys()
    assert arrays(other) != arrays(first)


def test_the_resolved_recipe_gives_the_same_run(folder):
    first = run()
    again = ik.run(first.path / "resolved.yaml", plugins=["plugin.py"])
    hashes = [[m["sha256"] for step in each.manifest["steps"] for m in step["maps"]] for each in (first, again)]
    assert hashes[0] == hashes[1]
    assert (again.path / "resolved.yaml").read_text() == (first.path / "resolved.yaml").read_text()


def test_random_weights_are_said_everywhere(folder):
    opened = run()
    assert len(opened.manifest["alerts"]) == 2
    assert all("RANDOM WEIGHTS" in alert for alert in opened.manifest["alerts"])
    for step in opened.manifest["steps"]:
        assert step["figures"]
        assert all("RANDOM WEIGHTS" in figure["caption"] for figure in step["figures"])
    assert "RANDOM WEIGHTS" in (opened.path / "report.html").read_text()
    assert opened.manifest["models"]["wide"]["notes"] == ["untrained"]


def test_numerics_are_put_back_as_they_were(folder):
    torch.manual_seed(11)
    state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    run()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.utils.deterministic.fill_uninitialized_memory is True
    assert torch.get_default_dtype() == torch.float32


def test_a_labelled_set_can_be_explained_by_its_labels(folder):
    (folder / "set.csv").write_text("path,label\nimages/a.png,2\nimages/c.png,1\n")
    opened = run(images=["set.csv"], set={"steps.cam_wide.with.target": "label"})
    assert opened.status == "complete"
    found = {image.id: target.index for image, target in zip(*_of(opened, "cam_wide"), strict=True)}
    assert found == {"a": 2, "c": 1}


def _of(opened, step):
    parts = [opened.result(step, image=image["id"]) for image in opened.manifest["inputs"]]
    return [part.images[0] for part in parts], [part.targets[0] for part in parts]


FAULTY = """
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from interpretkit import Figure, Map, Needs, Reduction, Result, Table, Visualizer, hookimpl

WRONG = {
    "number": lambda ids, map: Result(maps={0: map}),
    "array": lambda ids, map: Result(maps={"m": map.values}),
    "list": lambda ids, map: Result(tables=[Table(image=ids)]),
    "dict": lambda ids, map: Result(tables={"good": Table(image=ids), "bad": {"image": ids}}),
    "column": lambda ids, map: Result(tables={"t": Table({"image": ids, 3: ids})}),
    "stranger": lambda ids, map: Result(tables={"t": Table(image=["somebody"], x=[1])}),
    "object": lambda ids, map: Result(tables={"good": Table(image=ids), "t": Table(image=ids, x=[None for _ in ids])}),
    "tensor": lambda ids, map: Result(maps={"m": Map(**{**MAP, "values": torch.zeros(len(ids), 1, 1)})}),
}
MAP = {"dims": ("image", "y", "x"), "layer": "0", "extent": {"y": 8, "x": 8}, "polarity": "signed"}


class Faulty(Visualizer):
    '''Does it wrong.'''
    name = "faulty"

    class Options(Visualizer.Options):
        how: str
        '''How.'''

    def needs(self):
        if self.options.how == "needs":
            raise ValueError("no\\nidea")
        return Needs(activations="0" if self.options.how == "text" else ["0"])

    def compute(self, captured):
        ids = [image.id for image in captured.images]
        map = Map(values=np.zeros((len(ids), 1, 1)), **MAP)
        return WRONG.get(self.options.how, lambda ids, map: Result(maps={"m": map}))(ids, map)

    def draw(self, result):
        if self.options.how == "draw" and result.images[0].id == "a":
            raise ValueError("no\\npen")
        yield Figure(name="m", picture=Image.new("RGB", (9, 9)), caption="c", alt="a")


class FaultyReduction(Faulty, Reduction):
    '''Does it wrong for all images.'''
    name = "faulty_reduction"

    def merge(self, first, second):
        if self.options.how == "merge":
            raise ValueError("no\\nsum")
        return None if self.options.how == "none" else first

    def finish(self, result):
        if self.options.how == "finish":
            raise ValueError("no\\nend")
        return {"few": None}.get(self.options.how, result)

    def draw(self, result):
        return ()


class MeanOfMaxima(Reduction):
    '''The mean of the images' maxima: merged as a sum and a number, stored as their ratio.'''
    name = "mean_of_maxima"

    def needs(self):
        return Needs(activations=["0"])

    def compute(self, captured):
        maxima = captured.activations["0"].amax((1, 2, 3)).double()
        return Result(tables={"sums": Table(sum=[float(maxima.sum())], count=[len(maxima)])})

    def merge(self, first, second):
        both = first.tables["sums"], second.tables["sums"]
        return Result(tables={"sums": Table({name: both[0][name] + both[1][name] for name in ("sum", "count")})})

    def finish(self, result):
        sums = result.tables["sums"]
        return Result(tables={"mean": Table(mean=sums["sum"] / sums["count"])})

    def draw(self, result):
        mean = result.tables["mean"]["mean"][0]
        yield Figure(name="mean", picture=Image.new("RGB", (9, 9)), caption=f"mean {mean}", alt="a")


@hookimpl
def interpretkit_visualizers():
    yield Faulty
    yield FaultyReduction
    yield MeanOfMaxima
"""


def faulty(folder, how, *, uses="faulty", **more):
    (folder / "faulty.py").write_text(FAULTY)
    step = f"  - {{id: wrong, uses: {uses}, model: wide, with: {{how: {how}}}}}\n"
    (folder / "recipe.yaml").write_text(RECIPE.replace("numerics:", f"{step}numerics:"))
    opened = ik.run("recipe.yaml", plugins=["plugin.py", "faulty.py"], **more)
    assert verify(opened.path) == []
    return opened, {step["id"]: step for step in opened.manifest["steps"]}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("number", "compute() returned among its maps a Map under 0, not a Map under a name"),
        ("array", "compute() returned among its maps a ndarray under 'm', not a Map under a name"),
        ("list", "compute() returned tables in a list, not in a mapping"),
        ("dict", "compute() returned among its tables a dict under 'bad', not a Table under a name"),
        ("column", "ValueError: the columns of a table have names, not 'image', 3"),
        ("stranger", "table 't' has rows about 'somebody', which is no image of this batch"),
        ("object", "table 't', column 'x': dtype object cannot be stored"),
        ("tensor", "TypeError: map of 0: values are a Tensor, not a numpy array"),
        ("draw", "draw() failed: ValueError: no"),
    ],
)
def test_what_a_plugin_does_wrong_fails_its_step_and_nothing_else(folder, how, says):
    opened, steps = faulty(folder, how)
    assert opened.status == "failed"
    assert {name for name, step in steps.items() if step["status"] == "complete"} == steps.keys() - {"wrong"}
    assert steps["wrong"]["status"] == "failed"
    assert steps["wrong"]["error"].startswith(f"step 'wrong' (faulty, faulty.py): {says}")
    assert "\n" not in steps["wrong"]["error"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("array", "compute() returned among its maps a ndarray under 'm', not a Map under a name"),
        ("merge", "merge() failed: ValueError: no"),
        ("none", "merge() returned a NoneType, not a Result"),
        ("finish", "finish() failed: ValueError: no"),
        ("few", "finish() returned a NoneType, not a Result"),
    ],
)
def test_a_reduction_that_fails_has_no_result_and_fails_nothing_else(folder, how, says):
    opened, steps = faulty(folder, how, uses="faulty_reduction")
    assert opened.status == "failed"
    assert steps["wrong"]["error"] == f"step 'wrong' (faulty_reduction, faulty.py): {says}"
    assert not steps["wrong"]["maps"]
    assert not steps["wrong"]["tables"]
    assert {step["status"] for name, step in steps.items() if name != "wrong"} == {"complete"}


def test_a_reduction_stores_and_draws_what_it_makes_of_the_sums_at_the_end(folder):
    (folder / "faulty.py").write_text(FAULTY)
    steps = "  - {id: maxima, uses: mean_of_maxima, model: wide}\n"
    steps += "  - {id: f, uses: feature_grid, model: wide, with: {layers: ['0']}}\n"
    (folder / "recipe.yaml").write_text(RECIPE.replace("numerics:", f"{steps}numerics:"))
    opened = ik.run("recipe.yaml", plugins=["plugin.py", "faulty.py"])
    assert opened.status == "complete"
    expected = np.mean([opened.result("f", image=name).maps["0"].values.max() for name in SIZES])
    tables = opened.results["maxima"].tables
    assert set(tables) == {"mean"}
    assert tables["mean"]["mean"].tolist() == [pytest.approx(expected, rel=1e-12)]
    (figure,) = next(step for step in opened.manifest["steps"] if step["id"] == "maxima")["figures"]
    assert f"mean {tables['mean']['mean'][0]}" in figure["caption"]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_image_that_cannot_be_drawn_costs_no_other_its_figures(folder, batch_size):
    _, steps = faulty(folder, "draw", set={"numerics.batch_size": batch_size})
    assert sorted(figure["image"] for figure in steps["wrong"]["figures"]) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("uses", "how"),
    [("faulty", "column"), ("faulty", "draw"), ("faulty_reduction", "merge"), ("faulty_reduction", "finish")],
)
def test_failures_keep_what_the_plugin_has_raised_with_its_traceback(folder, uses, how):
    (folder / "faulty.py").write_text(FAULTY)
    step = f"  - {{id: wrong, uses: {uses}, model: wide, with: {{how: {how}}}}}\n"
    (folder / "recipe.yaml").write_text(RECIPE.replace("numerics:", f"{step}numerics:"))
    (failure,) = carry_out("recipe.yaml", plugins=["plugin.py", "faulty.py"]).failures
    assert isinstance(failure.__cause__, ValueError)
    frames = traceback.extract_tb(failure.__cause__.__traceback__)
    assert "faulty.py" in {Path(frame.filename).name for frame in frames}


def test_needs_that_fail_name_the_step_and_the_plugin_and_leave_nothing(folder):
    for how, says in (("needs", "ValueError: no"), ("text", "TypeError: Needs: layers are a list of patterns")):
        with pytest.raises(ik.PluginError, match=r"faulty\.py: step 'wrong': needs") as caught:
            faulty(folder, how)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list((folder / "runs").iterdir()) == []


def test_steps_that_fail_for_one_cause_each_name_themselves(folder):
    text = RECIPE.replace(
        "numerics:", "  - {id: again, uses: grad_cam, model: wide, with: {layers: ['1#2']}}\nnumerics:"
    )
    (folder / "recipe.yaml").write_text(text)
    opened = run(set={"steps.stats.with.layers": ["1#2"]})
    errors = {step["id"]: step["error"] for step in opened.manifest["steps"] if step["error"]}
    assert sorted(errors) == ["again", "stats"]
    for name, error in errors.items():
        assert error.startswith(f"step {name!r} (")


def test_a_label_that_is_missing_is_found_before_anything_is_written(folder):
    (folder / "set.csv").write_text("path,label\nimages/a.png,2\nimages/c.png,\n")
    with pytest.raises(ik.InputError, match=r"step 'cam_wide', images/c\.png: .*this image has none"):
        run(images=["set.csv"], set={"steps.cam_wide.with.target": "label"})
    assert list((folder / "runs").iterdir()) == []


def test_the_alert_of_a_model_stands_only_at_its_own_steps(folder):
    # The same name, and notes on both; but one of them has learned something.
    (folder / "plugin.py").write_text(
        PLUGIN.replace('name=f"Free-{self.options.width}"', 'name="Free", notes=("odd",)')
    )
    first = run()
    state = {name: torch.zeros(shape) for name, shape in _SHAPES.items()}
    torch.save(state, folder / "weights.pth")
    assert all(alert.startswith(("Free (narrow): ", "Free (wide): ")) for alert in first.manifest["alerts"])
    opened = run(set={"models.narrow.weights": {"path": "weights.pth"}})
    assert [alert[:12] for alert in opened.manifest["alerts"]] == ["Free (wide):"]
    sections = (opened.path / "report.html").read_text().split('<section class="step"')[1:]
    concerned = {text.split('"', 2)[1] for text in sections if '<p class="caution">' in text}
    assert concerned == {"step-cam_wide", "step-agreement", "step-stats"}


_SHAPES = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "head.weight": (3, 4), "head.bias": (3,)}


MASKED = """
from interpretkit import Result, Table, Visualizer
from dataclasses import replace


class Own(Free):
    name = "own"

    def build(self, state):
        known = super().build(state)
        return replace(known, preprocessing=lambda picture: known.preprocessing(picture))


class Covered(Visualizer):
    name = "covered"

    def compute(self, captured):
        rows = [(image.id, -1 if image.mask is None else image.mask.mean()) for image in captured.images]
        return Result(tables={"covered": Table(image=[row[0] for row in rows], share=[row[1] for row in rows])})


@hookimpl
def interpretkit_visualizers():
    yield Covered


@hookimpl
def interpretkit_models():
    yield Free
    yield Own
"""


def test_steps_see_masks_and_a_run_says_which_model_has_none(folder):
    mask = np.zeros((6, 8), np.uint8)
    mask[:3, :2] = 7
    Image.fromarray(mask).save("a_mask.png")
    Path("list.csv").write_text("path,mask\nimages/a.png,a_mask.png\nimages/b.png,\n")
    plugin, models = PLUGIN.split("@hookimpl", maxsplit=1)[0], "models: {known: {uses: free}, own: {uses: own}}"
    Path("plugin.py").write_text(plugin + MASKED)
    steps = [f"{{id: covered_{key}, uses: covered, model: {key}}}" for key in ("known", "own")]
    Path("masks.yaml").write_text(
        f"{{schema: interpretkit/1, name: masks, {models}, inputs: [list.csv], steps: [{', '.join(steps)}]}}"
    )
    opened = ik.run("masks.yaml", plugins=["plugin.py"])
    shares = {key: opened.results[f"covered_{key}"].tables["covered"]["share"].tolist() for key in ("known", "own")}
    assert shares == {"known": [0.125, -1.0], "own": [-1.0, -1.0]}
    assert [list(image["masks"]) for image in opened.manifest["inputs"]] == [["known"], []]
    assert opened.manifest["inputs"][0]["masks"]["known"]["inside"] == 0.125
    (alert,) = [alert for alert in opened.manifest["alerts"] if "no masks" in alert]
    assert "(own)" in alert
    bare = ik.run("masks.yaml", images=["images/a.png"], plugins=["plugin.py"])
    assert not any("no masks" in alert for alert in bare.manifest["alerts"])


READER = """
from interpretkit import Reads, Result, Table, Visualizer


class Either(Visualizer):
    name = "either"
    yields = "statistics"
    reads = Reads("statistics", least=0)

    def compute(self, captured):
        ids = [image.id for image in captured.images]
        return Result(tables={"read": Table(image=ids, steps=[",".join(captured.results)] * len(ids))})


@hookimpl
def interpretkit_visualizers():
    yield Either
"""


def test_a_step_that_may_read_runs_with_and_without_an_earlier_one(folder):
    Path("plugin.py").write_text(PLUGIN + READER)
    steps = "{id: stats, uses: either}, {id: alone, uses: either}, {id: reader, uses: either, of: [stats]}"
    Path("reads.yaml").write_text(
        f"{{schema: interpretkit/1, name: reads, model: {{uses: free}}, inputs: [images/a.png], steps: [{steps}]}}"
    )
    opened = ik.run("reads.yaml", plugins=["plugin.py"])
    found = {name: result.tables["read"]["steps"].tolist() for name, result in opened.results.items()}
    assert found == {"stats": [""], "alone": [""], "reader": ["stats"]}
