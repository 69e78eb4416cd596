"""What a notebook or a training loop calls: several steps in one pass, bare networks, runs of live models."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik
from interpretkit.digests import state_digest
from interpretkit.runs.verify import verify
from interpretkit.testing import tiny_images, tiny_model

RECIPE = {
    "schema": "interpretkit/1",
    "name": "epoch",
    "steps": [
        {"id": "cam", "uses": "grad_cam", "with": {"layers": ["features"], "target": 1}},
        {"id": "numbers", "uses": "channel_stats", "with": {"layers": ["features"]}},
    ],
}


EXITS = """
import interpretkit as ik

class Exits(ik.Visualizer):
    name = "exits"

    def compute(self, captured):
        raise SystemExit(0)

@ik.hookimpl
def interpretkit_visualizers():
    yield Exits
"""


class Counted(nn.Module):
    """Counts its forward passes."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3)
        self.passes = 0

    def forward(self, images):
        self.passes += 1
        return self.features(images).mean((2, 3))


def test_several_steps_share_one_pass_and_give_what_each_gives_alone():
    net = Counted()
    steps = {
        "cam": ik.step("grad_cam", layers=["features"], target=0),
        "saliency": ik.step("saliency", target=0),
        "alike": ik.step("compare", of=["cam", "saliency"]),
    }
    together = ik.visualize(net, tiny_images(1), steps)
    assert net.passes == 1
    assert list(together) == list(steps)
    alone = ik.visualize(net, tiny_images(1), "grad_cam", layers=["features"], target=0)
    assert np.array_equal(together["cam"].maps["features"].values, alone.maps["features"].values)
    read = {name: together[name] for name in ("cam", "saliency")}
    compared = ik.visualize(net, tiny_images(1), "compare", of=read)
    assert compared.tables["pairs"]["pearson"].tolist() == together["alike"].tables["pairs"]["pearson"].tolist()


def test_a_step_may_be_an_id_or_a_class_and_results_given_from_outside():
    class Greatest(ik.Visualizer):
        """Greatest value of what it reads."""

        name = "greatest"
        reads = ik.Reads("attribution")

        def compute(self, captured):
            (read,) = captured.results.values()
            ids = [image.id for image in captured.images]
            greatest = [float(each.max()) for each in read.maps["features"].values]
            return ik.Result(tables={"greatest": ik.Table(image=ids, value=greatest)})

    cam = ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features"], target=0)
    found = ik.visualize(tiny_model(), tiny_images(), {"top": ik.step(Greatest, of="cam")}, of={"cam": cam})
    expected = cam.maps["features"].values.max((1, 2)).tolist()
    assert found["top"].tables["greatest"]["value"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"a": ik.step("compare", of=["b"])}, "step 'a' reads 'b', which there is not"),
        ({"a": ik.step("compare", of=["b"]), "b": ik.step("compare", of=["a"])}, "in a circle"),
        ({"a": "grad_cma"}, "unknown visualizer 'grad_cma'"),
        ({"s": ik.step("channel_stats", layers=["pool"]), "a": ik.step("compare", of=["s"])}, "'s' yields statistics"),
    ],
)
def test_steps_that_do_not_fit_together_are_refused(steps, message):
    with pytest.raises(ik.RecipeError, match=message):
        ik.visualize(tiny_model(), tiny_images(), steps)


def test_options_of_several_steps_belong_to_steps():
    with pytest.raises(ik.RecipeError, match="'layers' is an option of no step"):
        ik.visualize(tiny_model(), tiny_images(), {"a": "grad_cam"}, layers=["features"])


def test_options_stand_in_the_step_or_beside_an_id():
    asked = ik.step("grad_cam", layers=["features"])
    with pytest.raises(ik.RecipeError, match=r"'target' stands beside a step \(give it to `step`\)"):
        ik.visualize(tiny_model(), tiny_images(), asked, target=1)


@pytest.mark.parametrize("turned", [(0,), (2, 3)])
def test_results_of_other_images_that_go_by_the_same_ids_are_refused(turned):
    images = tiny_images(2)
    cam = ik.visualize(tiny_model(), images, "grad_cam", layers=["features"])
    maps = ik.visualize(tiny_model(), images.flip(turned), "feature_grid", layers=["features"])
    with pytest.raises(ik.InputError, match=r"result 'maps' is about another image than the image0 that is given"):
        ik.visualize(tiny_model(), images, "compare", of={"cam": cam, "maps": maps})


@pytest.mark.parametrize("images", [[], (), tiny_images(2)[:0]])
def test_no_images_are_none_and_not_those_of_the_recipe(tmp_path, images):
    with pytest.raises(ik.InputError, match="no images are given"):
        ik.run({**RECIPE, "inputs": ["sample:grace_hopper"]}, model=tiny_model(), images=images, output=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_plugin_that_exits_fails_its_step_alone(tmp_path):
    (tmp_path / "exits.py").write_text(EXITS)
    recipe = {**RECIPE, "steps": [*RECIPE["steps"], {"id": "exits", "uses": "exits"}]}
    plugins = [tmp_path / "exits.py"]
    run = ik.run(recipe, model=tiny_model(), images=tiny_images(2), output=tmp_path, plugins=plugins)
    assert run.status == "failed"
    assert [step["status"] for step in run.manifest["steps"]] == ["complete", "complete", "failed"]
    assert "SystemExit: 0" in run.manifest["steps"][2]["error"]
    assert verify(run.path) == []


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: ik.wrap(None), ik.InputError, "an nn.Module is wanted, not a NoneType"),
        (lambda: ik.draw(None), ik.InputError, "a result is wanted, not a NoneType"),
        (lambda: ik.run([1]), ik.RecipeError, "a recipe is the path of a file, or a dict, not a list"),
        (
            lambda: ik.visualize(tiny_model(), tiny_images(), "sparseness", of={"a": 3}),
            ik.InputError,
            "`of` holds results by name",
        ),
        (
            lambda: ik.visualize(tiny_model(), tiny_images(), "sparseness", of=["a"]),
            ik.InputError,
            "`of` holds results by name",
        ),
    ],
)
def test_what_is_of_another_kind_is_refused_in_one_line(call, kind, message):
    with pytest.raises(kind) as refused:
        call()
    assert refused.value.message == message


def test_what_is_no_network_is_refused():
    with pytest.raises(ik.InputError, match="a model is wanted, not a str"):
        ik.visualize("repvgg", tiny_images(), "saliency")


def test_a_result_knows_how_it_is_drawn_also_once_it_is_stored(tmp_path):
    model = tiny_model()
    options = {"layers": ["features"], "target": {"top": 2}}
    live = ik.visualize(model, tiny_images(2), "grad_cam", **options)
    steps = [{"id": "grad_cam", "uses": "grad_cam", "with": options}]
    run = ik.run({**RECIPE, "steps": steps}, model=model, images=tiny_images(2), output=tmp_path)
    stored = ik.draw(run.results["grad_cam"])
    assert [figure.caption for figure in ik.draw(live)] == [figure.caption for figure in stored]
    assert [figure.picture.tobytes() for figure in ik.draw(live)] == [figure.picture.tobytes() for figure in stored]
    assert all(figure.caption.startswith("RANDOM WEIGHTS") for figure in stored)
    with pytest.raises(ik.InputError, match="put together by hand"):
        ik.draw(ik.Result())


def test_a_recipe_on_a_live_network_leaves_a_sealed_run_and_the_network_as_it_was(tmp_path):
    torch.manual_seed(0)
    net = Counted()
    net.train()
    before = state_digest(net.state_dict())
    run = ik.run(RECIPE, model=net, images=tiny_images(3), output=tmp_path)
    assert run.status == "complete"
    assert verify(run.path) == []
    assert net.training
    assert state_digest(net.state_dict()) == before
    model = run.manifest["models"]["model"]
    assert (model["uses"], model["weights"]["kind"]) == ("given", "given")
    assert model["plugin"]["package"] == "given in Python"
    assert model["weights"]["state_sha256"] == before
    expected = ik.visualize(net, tiny_images(3), "grad_cam", layers=["features"], target=1)
    assert np.array_equal(run.results["cam"].maps["features"].values, expected.maps["features"].values)
    assert "given in Python" in (run.path / "report.html").read_text()


def test_a_recipe_file_runs_on_a_live_model_and_pictures_in_memory(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "schema: interpretkit/1\nname: own\nmodel: {uses: repvgg}\ninputs: [sample:grace_hopper]\n"
        "steps: [{id: cam, uses: grad_cam, with: {layers: [features], target: 1}}]\n"
    )
    pictures = [Image.new("RGB", (20, 20), "teal"), Image.new("RGB", (30, 20), "orange")]
    model = ik.wrap(Counted(), transform=ik.Preprocessing(resize=16, crop=16))
    run = ik.run(tmp_path / "recipe.yaml", model=model, images=pictures, output=tmp_path)
    assert [image["id"] for image in run.manifest["inputs"]] == ["image0", "image1"]
    assert run.results["cam"].maps["features"].values.shape == (2, 14, 14)


def test_a_recipe_in_python_is_refused_with_all_its_faults():
    steps = [{"id": "cam", "uses": "grad_cma"}, {"id": "cam", "uses": "saliency"}]
    with pytest.raises(ik.RecipeError) as caught:
        ik.run({**RECIPE, "steps": steps}, model=tiny_model(), images=tiny_images())
    told = str(caught.value)
    assert "unknown visualizer 'grad_cma'" in told
    assert "step id 'cam' is taken" in told


def test_what_is_printed_is_short():
    model = tiny_model()
    result = ik.visualize(model, tiny_images(), "channel_stats", layers=["features"])
    table = result.tables["channels"]
    for shown in (model, result, table, next(iter(result.arrays.values()), table)):
        assert len(repr(shown)) < 400, repr(shown)
    assert repr(model) == "Model(tiny: Sequential, 127 parameters; weights as given; untrained)"


def test_names_of_classes_are_given_once():
    with pytest.raises(ik.InputError, match=r"the output is said too \(give the names there: output=Classes\(names=…"):
        ik.wrap(nn.Flatten(), classes=["a", "b"], output=ik.Classes())


def test_weights_that_have_no_values_or_no_gradients_are_refused():
    with torch.inference_mode():
        net = nn.Sequential(nn.Conv2d(3, 2, 1))
    with pytest.raises(ik.InputError, match=r"weight was made under torch\.inference_mode, .*copy\.deepcopy"):
        ik.wrap(net)
    assert ik.wrap(copy.deepcopy(net)).layers(size=(3, 3))[0].shape == (2, 3, 3)
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ik.InputError, match=r"0\.weight has no values yet: a lazy layer makes .* net\(images\)"):
        ik.wrap(lazy)
    lazy(torch.zeros(1, 3, 8, 8))
    assert ik.wrap(lazy).layers(size=(8, 8))[0].shape == (4, 6, 6)
    with pytest.raises(ik.InputError, match="weight lies on the device meta"):
        ik.wrap(nn.Sequential(nn.Conv2d(3, 2, 1, device="meta")))


def classifier(*end):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 2), *end).eval()


def told(call):
    """Return the texts of the warnings that a call gives, and what it returns."""
    with warnings.catch_warnings(record=True, action="always") as caught:
        result = call()
    assert all(each.category is ik.InterpretkitWarning for each in caught)
    assert all(each.filename == __file__ for each in caught)
    return [str(each.message) for each in caught], result


class Mixing(nn.Module):
    def forward(self, values):
        return values - values.mean(0, keepdim=True)


class Steep(nn.Module):
    def forward(self, values):
        return values * 1e4


IMAGES = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))

ALERTED = {
    "an output that is not known": (
        classifier(nn.Tanh()),
        {},
        ["not known to be classes, labels or values; so"],
    ),
    "images that are mixed": (classifier(Mixing()), {"classes": ["a", "b"]}, ["images"]),
    "a probability of 1": (classifier(Steep(), nn.Softmax(1)), {}, ["but for rounding, and so is its gradient 0"]),
    "nothing": (classifier(), {"classes": ["a", "b"]}, []),
}


@pytest.mark.parametrize("kind", ALERTED)
def test_what_a_reader_must_know_is_a_warning_once_and_stands_in_the_result(kind):
    net, names, parts = ALERTED[kind]
    texts, result = told(lambda: ik.visualize(ik.wrap(net, **names), IMAGES, "saliency", batch_size=4))
    assert len(texts) == len(parts)
    assert all(part in text for part, text in zip(parts, texts, strict=True))
    assert list(result.alerts) == texts


def test_weights_that_are_random_are_a_warning():
    model = tiny_model(classes=3)
    texts, result = told(lambda: ik.visualize(model, tiny_images(2), "saliency"))
    assert texts == [model.alert] == list(result.alerts)
    assert "RANDOM" in model.alert.upper()


def test_of_several_steps_and_batches_each_alert_is_told_once():
    steps = {
        "first": ik.step("saliency"),
        "second": ik.step("saliency", target=1),
        "maps": ik.step("channel_stats", layers=["1"]),
    }
    texts, results = told(lambda: ik.visualize(ik.wrap(classifier(nn.Tanh())), IMAGES, steps, batch_size=1))
    assert len(texts) == 1
    assert results["first"].alerts == results["second"].alerts == tuple(texts)
    # Of what the network returns, nothing is told where nothing is read.
    assert results["maps"].alerts == ()


def test_what_a_step_says_of_itself_is_a_warning():
    class Talks(ik.Visualizer):
        name = "talks"

        def compute(self, captured):
            captured.alert("mind the gap")
            return ik.Result()

    texts, result = told(lambda: ik.visualize(classifier(), IMAGES, Talks, batch_size=2))
    assert texts == ["mind the gap"] == list(result.alerts)


def test_a_stored_result_has_the_alerts_of_its_step_and_model(tmp_path):
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": [{"id": "map", "uses": "saliency"}]}
    net = classifier(Steep(), nn.Softmax(1))
    run = ik.run(recipe, model=net, images=IMAGES, output=tmp_path)
    (alert,) = run.results["map"].alerts
    assert "but for rounding" in alert
    model = tiny_model(classes=3)
    assert ik.run(recipe, model=model, images=tiny_images(2), output=tmp_path).results["map"].alerts == (model.alert,)
