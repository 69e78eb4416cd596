from __future__ import annotations

import pytest
import torch
from torch import nn

from interpretkit.capture.addresses import Address
from interpretkit.errors import RecipeError, StepError
from interpretkit.model.baselines import blurred
from interpretkit.model.layers import Layer
from interpretkit.model.model import Model
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.vector import Vector
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.results.image import InputImage
from interpretkit.results.targets import Target


@pytest.fixture
def model() -> Model:
    block = nn.Sequential()
    block.add_module("conv", nn.Conv2d(4, 4, 3, padding=1))
    block.add_module("act", nn.ReLU())
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(1, 4, 3, stride=2, padding=1))
    net.add_module("stage1", nn.Sequential(block, nn.Identity()))
    net.add_module("stage2", nn.Sequential(nn.MaxPool2d(2)))
    return Model(module=net, name="net", aliases={"first": "stage1.0.act"}, preprocessing=Preprocessing(crop=12))


def names(model: Model, *patterns: str) -> list[str]:
    return [layer.name for layer in model.find(patterns)]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["stage1"], ["stage1"]),
        (["stage*"], ["stage1", "stage2"]),
        (["stage1.*"], ["stage1.0", "stage1.1"]),
        (["**.conv"], ["stage1.0.conv"]),
        (["stage1.**"], ["stage1", "stage1.0", "stage1.0.conv", "stage1.0.act", "stage1.1"]),
        (["stage2", "stage1"], ["stage2", "stage1"]),
        (["stage?", "!stage1"], ["stage2"]),
        (["stage1", "stage*"], ["stage1", "stage2"]),
        (["f*"], ["first"]),
        (["*"], ["stem", "stage1", "first", "stage2"]),
        (["**"], ["stem", "stage1", "stage1.0", "stage1.0.conv", "first", "stage1.1", "stage2", "stage2.0"]),
        (["first", "stage1.0.act", "first"], ["first", "stage1.0.act"]),
        (["stage1.0.*", "!first"], ["stage1.0.conv"]),
        (["first", "stage1", "!stage1.0.act"], ["stage1"]),
        (["stage1.[0]"], ["stage1.0"]),
    ],
)
def test_layers_are_found_by_name_glob_and_exclusion(model, patterns, expected):
    assert names(model, *patterns) == expected


def test_a_branch_of_a_reparameterized_model_is_said_to_be_gone(model):
    from dataclasses import replace

    with pytest.raises(RecipeError, match="re-parameterised: branches are in the training-form weights only"):
        replace(model, notes=("reparameterized",)).find(["stage1.0.rbr_dense"])


def test_an_alias_stands_for_a_path_and_keeps_its_name(model):
    (layer,) = model.find(["first"])
    assert (layer.name, layer.address) == ("first", Address("stage1.0.act"))


def test_an_alias_of_several_parts_is_found_by_globs_that_spell_its_last_part_out(model):
    named = Model(module=model.module, aliases={"first": "stage1.0.act", "stage1.pre": "stage1.0.conv"})
    for pattern in ("stage1.*", "stage1.**", "**", "*.*", "stage1.p*", "**.conv"):
        try:
            expected = [layer.name for layer in model.find([pattern])]
        except RecipeError:
            expected = []
        if expected:
            assert [layer.name for layer in named.find([pattern])] == expected
    for pattern in ("stage1.pre", "*.pre", "stage?.pre", "**.pre"):
        assert [(each.name, each.address.path) for each in named.find([pattern])] == [("stage1.pre", "stage1.0.conv")]
    with pytest.raises(RecipeError, match=r"no layer 'stage1.p\*'"):
        named.find(["stage1.p*"])


def test_an_alias_of_a_layer_that_is_not_there_is_refused(model):
    with pytest.raises(RecipeError, match=r"no layer 'stage1\.0\.atc' \(did you mean 'stage1\.0\.act'"):
        Model(module=model.module, aliases={"first": "stage1.0.atc"})


def test_a_call_is_chosen_by_number(model):
    (layer,) = model.find(["first#2"])
    assert (layer.name, layer.address) == ("first#2", Address("stage1.0.act", 2))


def test_every_call_is_a_layer_that_stands_for_those_recorded(model):
    (layer,) = model.find(["first#*"])
    assert (layer.name, str(layer.address)) == ("first#*", "stage1.0.act#*")
    recorded = [Address("stage1.0.act", 2), Address("stage1.0", 1), Address("stage1.0.act", 1), Address("stage1.0.act")]
    assert [(each.name, each.address) for each in layer.calls(recorded)] == [
        ("first#1", Address("stage1.0.act", 1)),
        ("first#2", Address("stage1.0.act", 2)),
    ]
    assert layer.calls([Address("stage1.0.act", 1)]) == (Layer("first", Address("stage1.0.act", 1)),)
    assert layer.calls([]) == ()


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (["stage9"], "no layer 'stage9' (did you mean 'stage2' or 'stage1'"),
        (["qqqq"], "interpretkit layers"),
        (["stage1#0"], "number of a call, from 1"),
        (["stage1#x"], "number of a call, from 1"),
        (["stage1", "!stage1"], "leave no layer"),
        (["!zzz"], "no layer 'zzz'"),
    ],
)
def test_patterns_that_name_nothing_are_errors(model, patterns, words):
    with pytest.raises(RecipeError) as caught:
        model.find(patterns)
    assert words in str(caught.value)


def test_layers_are_listed_in_the_order_of_execution_with_shapes(model):
    rows = model.layers()
    assert [(row.name, row.kind, row.shape, row.parameters) for row in rows] == [
        ("stem", "Conv2d", (4, 6, 6), 40),
        ("stage1.0.conv", "Conv2d", (4, 6, 6), 148),
        ("stage1.0.act", "ReLU", (4, 6, 6), 0),
        ("first", "ReLU", (4, 6, 6), 0),
        ("stage1.0", "Sequential", (4, 6, 6), 148),
        ("stage1.1", "Identity", (4, 6, 6), 0),
        ("stage1", "Sequential", (4, 6, 6), 148),
        ("stage2.0", "MaxPool2d", (4, 3, 3), 0),
        ("stage2", "Sequential", (4, 3, 3), 0),
    ]
    assert str(model.layers("first", size=(8, 10))).splitlines()[1].split() == [
        "first", "ReLU", "4×4×5", "2", "7", "0", "=", "stage1.0.act",
    ]  # fmt: skip


class Reused(nn.Module):
    """A module called twice, one under two names, one that returns a tuple, and an operation between modules."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(3, 3, (3, 1), bias=False)
        self.shared = self.conv
        self.pair = Pair()
        self.blocks = nn.ModuleList([nn.Flatten()])

    def forward(self, x):
        y, _ = self.pair(self.act(self.conv(x)))
        return self.blocks[0](self.act(y + y.mean((2, 3), keepdim=True)))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_rows_of_calls_shared_modules_and_tuples():
    model = Model(module=Reused().train(), aliases={"early": "act", "mine": "shared"})
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    with torch.inference_mode():
        rows = model.layers(size=(8, 9))
    assert [(row.name, row.path, row.stride, row.receptive_field, row.alias_of) for row in rows] == [
        ("conv", "conv", (1, 1), (3, 1), ""),
        ("mine", "conv", (1, 1), (3, 1), "conv"),
        ("act#1", "act#1", (1, 1), (3, 1), ""),
        ("early#1", "act#1", (1, 1), (3, 1), "act#1"),
        ("pair", "pair", (None, None), (None, None), ""),
        ("act#2", "act#2", (1, 1), ("all", "all"), ""),
        ("early#2", "act#2", (1, 1), ("all", "all"), "act#2"),
        ("blocks.0", "blocks.0", (1, 1), ("all", "all"), ""),
    ]
    assert [row.name for row in model.layers("act", size=(8, 9))] == ["act#1", "act#2"]
    assert [row.name for row in model.layers("act#*", size=(8, 9))] == ["act#1", "act#2"]
    assert [row.name for row in model.layers("act#2", "shared", size=(8, 9))] == ["shared", "act#2"]
    assert str(rows).splitlines()[5].split() == ["pair", "Pair", "no", "tensor", "–", "–", "0"]
    assert model.module.training
    assert all(part.training and not part._forward_hooks for part in model.module.modules())
    assert all(torch.equal(before[name], value) for name, value in model.module.state_dict().items())


def test_a_tree_nests_layers_by_their_paths(model):
    lines = model.layers().tree().splitlines()
    assert [line[: lines[0].index("kind")].rstrip() for line in lines] == [
        "layer", "stem", "stage1", "  0", "    conv", "    act", "  1", "stage2", "  0",
    ]  # fmt: skip
    assert lines[5].endswith("alias first")
    calls = Model(module=Reused()).layers(size=(8, 9)).tree()
    assert [line.split()[0] for line in calls.splitlines()] == [
        "layer", "conv", "act#1", "act#2", "pair", "blocks", "0",
    ]  # fmt: skip


def test_a_network_without_parameters_has_layers():
    (row,) = Model(module=nn.Sequential(nn.AvgPool2d((2, 4)))).layers(size=(8, 8))
    assert (row.parameters, row.stride, row.receptive_field) == (0, (2, 4), (2, 4))
    assert row.cells()[2:4] == ("2×4", "2×4")


@pytest.mark.parametrize("in_place", [False, True])
def test_layers_are_the_same_on_the_meta_device(in_place):
    from torchvision.models import VisionTransformer

    block = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Hardswish(inplace=in_place))
    for net in (block, VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=2)):
        here = Model(module=net).layers(size=(32, 32))
        there = Model(module=net.to("meta")).layers(size=(32, 32))
        assert [row.json() for row in here if row.shape] == [row.json() for row in there if row.shape]
        assert all(None not in row.receptive_field for row in there if row.shape)


def test_an_image_that_the_network_cannot_take_is_an_error_that_says_so():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 2))
    with pytest.raises(StepError, match=r"failed on an image 3×224×224: RuntimeError: .*--size HEIGHTxWIDTH"):
        Model(module=net, name="net").layers()
    assert len(Model(module=net).layers(size=(32, 32))) == 3
    assert not any(part._forward_hooks for part in net.modules())


def test_the_size_is_what_the_preprocessing_makes():
    def preprocess(image):
        return torch.zeros(3, image.height // 7, image.width // 4)

    net = nn.Sequential(nn.Identity())
    assert Model(module=net, preprocessing=preprocess).layers()[0].shape == (3, 32, 56)
    assert Model(module=net, preprocessing=Preprocessing(resize=40, crop=None)).layers()[0].shape == (3, 40, 40)
    with pytest.raises(StepError, match=r"preprocessing of model 'net' failed .*--size"):
        Model(module=net, name="net", preprocessing=lambda image: image.missing).layers()


def test_a_contrast_scores_the_difference_of_two_logits(model):
    output = torch.tensor([[1.0, 5.0, 2.0], [0.0, 1.0, 4.0]])
    (wanted,) = model.wanted("predicted")
    plain = model.targets(wanted, output, images(2))
    assert model.score(output, plain).tolist() == [5.0, 4.0]
    contrast = [Target(spec={"for": 1, "against": 2}, label="1", score=0, against_label="2")] * 2
    assert model.score(output, contrast).tolist() == [3.0, -3.0]


@pytest.mark.parametrize("output", [torch.zeros(1, 3, 2, 2), {"out": torch.zeros(1, 3)}])
def test_an_output_that_is_no_logits_is_refused_with_its_shape(model, output):
    with pytest.raises(StepError, match=r"1, 3, 2, 2|dict"):
        model.score(output, [Target(spec=1, label="1", score=0.0)])


def test_random_weights_are_an_alert(model):
    from dataclasses import replace

    from interpretkit.results.origin import WeightsInfo

    assert model.alert == ""
    fallback = WeightsInfo(kind="random", source="owner/net", fallback="the hub cannot be reached")
    untrained = replace(model, notes=("untrained",), weights=fallback)
    assert untrained.alert.startswith("RANDOM WEIGHTS")
    assert str(untrained.weights) == "random weights in place of owner/net"


def images(count):
    return [InputImage(id=str(number), source="", sha256="", size=(1, 1)) for number in range(count)]


def test_an_output_of_a_layer_that_there_is_not_is_refused():
    token = Vector(layer="nowhere", token=0)
    with pytest.raises(RecipeError, match="output 'class_token' of model 'model': there is no layer 'nowhere'"):
        Model(module=nn.Sequential(nn.Linear(2, 2)), outputs={"classes": Classes(), "class_token": token})


def test_the_class_token_is_no_class():
    token = Vector(name="class token", layer="0", token=0)
    model = Model(module=nn.Sequential(nn.Linear(2, 2)), outputs={"classes": Classes(), "class_token": token})
    (wanted,) = model.wanted("class_token")
    targets = model.targets(wanted, torch.ones(1, 3, 4), images(1))
    assert targets[0].score == 2.0
    assert targets[0].spec == "class_token"
    assert (targets[0].index, targets[0].against) == (None, None)
    with pytest.raises(StepError, match="the class token is not in the output"):
        model.score(torch.zeros(1, 2), targets)


def test_black_is_what_the_preprocessing_makes_of_a_black_image():
    from PIL import Image

    def halved(image):
        return torch.full((3, 4, 4), image.getpixel((0, 0))[0] / 255 - 0.5)

    image = torch.rand(1, 3, 6, 9, dtype=torch.float64)
    for preprocessing in (Preprocessing(), halved):
        model = Model(module=nn.Identity(), preprocessing=preprocessing)
        expected = preprocessing(Image.new("RGB", (300, 300)))[None, :, :1, :1].double().expand_as(image)
        torch.testing.assert_close(model.baseline(image, "black"), expected, rtol=1e-6, atol=0)
    with pytest.raises(StepError, match="makes no black image: AttributeError"):
        Model(module=nn.Identity(), preprocessing=lambda image: image.size).baseline(image, "black")


def test_a_blur_is_a_gaussian_of_a_part_of_the_shorter_side():
    from scipy.ndimage import gaussian_filter

    image = torch.rand(1, 2, 20, 31, dtype=torch.float64)
    expected = gaussian_filter(image.numpy(), (0, 0, 2.2, 2.2), mode="mirror", radius=(0, 0, 7, 7))
    found = Model(module=nn.Identity()).baseline(image, "blurred", blur=0.11)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(blurred(image, 0.11), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


def test_a_baseline_can_be_written_into():
    image = torch.rand(1, 3, 4, 4)
    kept = image.clone()
    for name in ("zero", "black", "image_mean", "blurred"):
        found = Model(module=nn.Identity()).baseline(image, name)
        assert found.shape == image.shape
        found[0, 0, 0, 0] = 7
        assert (found == 7).sum() == 1
    assert torch.equal(image, kept)
