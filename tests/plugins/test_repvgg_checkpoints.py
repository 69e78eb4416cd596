"""Checkpoints of three libraries in both forms, what is said of those that do not fit, and their conversion."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import interpretkit as ik
from interpretkit import WeightsError
from interpretkit_repvgg.builder import RepVGGBuilder
from interpretkit_repvgg.checkpoints import read_checkpoint
from interpretkit_repvgg.names import official_name
from interpretkit_repvgg.network import DeployBlock, RepVGG, TrainingBlock
from interpretkit_repvgg.plus import RepVGGPlus
from interpretkit_repvgg.reparameterize import reparameterize
from interpretkit_repvgg.variants import VARIANTS, Variant, custom

TIMM = (
    (r"^stage0\.", "stem."), (r"^stage1\.", "stages.0."), (r"^stage2\.", "stages.1."), (r"^stage3\.", "stages.2."),
    (r"^stage4\.", "stages.3."), ("rbr_dense", "conv_kxk"), ("rbr_1x1", "conv_1x1"), ("rbr_identity", "identity"),
    ("rbr_reparam", "reparam_conv"), (r"\.se\.down", ".attn.fc1"), (r"\.se\.up", ".attn.fc2"), ("^linear", "head.fc"),
)  # fmt: skip
# mmpretrain/models/backbones/repvgg.py; an ImageClassifier holds it as `backbone` beside `head`.
MMPRETRAIN = (
    (r"^stage0\.", "backbone.stem."), (r"^stage(\d)\.", r"backbone.stage_\1."), (r"\.bn\.", ".norm."),
    ("rbr_dense", "branch_3x3"), ("rbr_1x1", "branch_1x1"), ("rbr_identity", "branch_norm"),
    ("rbr_reparam", "branch_reparam"), (r"\.se\.down", ".se_layer.conv1.conv"), (r"\.se\.up", ".se_layer.conv2.conv"),
    ("^linear", "head.fc"),
)  # fmt: skip
TINY = {"depths": [2, 2, 1, 1], "widths": [8, 12, 12, 16]}


def renamed(state, table):
    result = {}
    for name, value in state.items():
        for pattern, replacement in table:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901 - one rule after the other
        result[name] = value
    return result


def build(state, **options):
    return RepVGGBuilder(RepVGGBuilder.Options(**options)).build(state)


def convert(state, **options):
    return RepVGGBuilder(RepVGGBuilder.Options(**options)).convert(state)


def network_of(variant, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = (RepVGGPlus if variant.post_se else RepVGG)(variant, num_classes=5, **options).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    return network


@pytest.fixture(scope="module")
def tiny():
    return network_of(custom(**TINY))


def meta_state(name, block=TrainingBlock, **options):
    variant = VARIANTS[name]
    with torch.device("meta"):
        network = (RepVGGPlus if variant.post_se else RepVGG)(variant, num_classes=10, block=block, **options)
    return network.state_dict()


@pytest.mark.parametrize("prefix", ["", "module.", "net.module.", "model.backbone."])
@pytest.mark.parametrize("table", [(), TIMM, MMPRETRAIN], ids=["official", "timm", "mmpretrain"])
@pytest.mark.parametrize("form", ["train", "deploy"])
def test_checkpoints_of_three_libraries_load_in_both_forms(form, table, prefix, tiny):
    state = (tiny if form == "train" else reparameterize(tiny)).state_dict()
    found = {f"{prefix}{name}": value for name, value in renamed(state, table).items()}
    loaded = build(found, variant="custom", **TINY, form=form, num_classes=5).module.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_a_backbone_alone_lacks_its_head(tiny):
    state = renamed(tiny.state_dict(), MMPRETRAIN)
    backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
    with pytest.raises(WeightsError, match=r"2 missing.*missing are 2 of linear.*without a linear layer"):
        build(backbone, variant="custom", **TINY, num_classes=5)


@pytest.mark.parametrize("table", [TIMM, MMPRETRAIN], ids=["timm", "mmpretrain"])
@pytest.mark.parametrize("block", [TrainingBlock, DeployBlock])
@pytest.mark.parametrize("name", ["A0", "B3g4", "D2se"])
def test_every_official_name_has_one_in_the_other_libraries_and_comes_back(name, block, table):
    names = meta_state(name, block)
    theirs = renamed(names, table)
    assert len(theirs) == len(names)
    assert [official_name(each) for each in theirs] == list(names)
    assert all(official_name(each) == each for each in names)


@pytest.mark.parametrize("form", ["train", "deploy"])
@pytest.mark.parametrize("name", ["A0", "B1"])
def test_the_names_of_timm_are_those_of_timm(name, form):
    timm = pytest.importorskip("timm")
    from timm.utils.model import reparameterize_model

    with torch.device("meta"):
        theirs = timm.create_model(f"repvgg_{name.lower()}", num_classes=10)
        theirs = theirs if form == "train" else reparameterize_model(theirs)
    names = renamed(meta_state(name, TrainingBlock if form == "train" else DeployBlock), TIMM)
    assert set(theirs.state_dict()) == set(names)


@pytest.mark.parametrize("block", [TrainingBlock, DeployBlock])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_checkpoint_says_which_variant_it_is(name, block):
    found = read_checkpoint({f"module.{key}": value for key, value in meta_state(name, block).items()})
    form = "training-form" if block is TrainingBlock else "deploy-form"
    assert str(found) == f"a {form} checkpoint of {name}, 10 classes"
    assert found.in_channels == 3


def test_a_checkpoint_of_another_variant_is_named_with_what_to_set():
    state = meta_state("B1g2", in_channels=1)
    expected = (
        "a training-form checkpoint of B1g2, 10 classes does not fit RepVGG-A0 of 1000 classes "
        "(set variant: B1g2, num_classes: 10, in_channels: 1)"
    )
    with pytest.raises(WeightsError) as caught, torch.device("meta"):
        build(state, variant="A0")
    assert str(caught.value) == expected


def test_missing_parameters_are_counted_by_kind():
    state = {name: value for name, value in meta_state("D2se").items() if ".se." not in name}
    with (
        pytest.raises(WeightsError, match=r"192 missing .* missing are 192 of se; .* of depths 8-14-24-1 "),
        torch.device("meta"),
    ):
        build(state, variant="D2se", num_classes=10)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: {name: value for name, value in state.items() if not name.startswith("stage0.")},
        lambda state: {**state, "stage2.0.rbr_dense.conv.weight": torch.zeros(3)},
        lambda state: {**state, "stage2.0.rbr_dense.conv.weight": torch.zeros(4, 0, 3, 3)},
        lambda state: {**state, "stage0.rbr_dense.conv.weight": torch.tensor(1.0)},
        lambda state: {"stage0.rbr_dense.bn.bias": torch.zeros(8), "linear.weight": torch.tensor(1.0)},
    ],
)
def test_a_file_that_fits_nothing_is_no_crash(spoil, tiny):
    with pytest.raises(WeightsError, match="looks like a training-form checkpoint of no known shape, "):
        build(spoil(tiny.state_dict()), variant="custom", **TINY, num_classes=5)


def test_a_parameter_under_two_names_is_refused(tiny):
    state = tiny.state_dict()
    with pytest.raises(WeightsError, match="names of two libraries"):
        build({**state, **renamed(state, TIMM)}, variant="custom", **TINY, num_classes=5)


def test_what_a_training_saves_beside_the_network_is_left_out(tiny):
    state = {f"model.{name}": tensor for name, tensor in tiny.state_dict().items()}
    model = build({**state, "criterion.weight": torch.ones(5)}, variant="custom", **TINY, num_classes=5)
    expected = tiny.state_dict()
    assert model.module.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.module.state_dict().items())


# Conversion


@torch.no_grad()
@pytest.mark.parametrize(
    "variant",
    [
        custom(**TINY),
        Variant(blocks=(3, 4, 2, 1), multipliers=(0.25,) * 4, groups=2),
        Variant(blocks=(2, 2, 2, 1), multipliers=(0.5,) * 4, se=16),
        Variant(blocks=(2, 2, 2, 1), multipliers=(0.25,) * 4, post_se=4),
    ],
    ids=["plain", "grouped", "gated", "plus"],
)
def test_a_checkpoint_is_converted_without_saying_what_it_is(variant):
    network = network_of(variant, in_channels=1)
    converted = convert(network.state_dict())
    deployed = type(network)(variant, num_classes=5, block=DeployBlock, in_channels=1).eval()
    deployed.load_state_dict(converted)
    inputs = torch.randn(2, 1, 33, 40, generator=torch.Generator().manual_seed(0))
    expected = network(inputs)
    assert (deployed(inputs) - expected).abs().max() <= 1e-5 * expected.abs().max()
    again = convert(converted)
    assert all(torch.equal(again[name], value) for name, value in converted.items())


def test_conversion_keeps_the_dtype_and_rounds_once(tiny):
    state = {name: value.half() if value.is_floating_point() else value for name, value in tiny.state_dict().items()}
    precise = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    ours, theirs = convert(state), convert(precise)
    assert {value.dtype for value in ours.values()} == {torch.float16}
    assert all(torch.equal(value, theirs[name].half()) for name, value in ours.items())


def test_conversion_checks_what_it_is_told(tiny):
    with pytest.raises(WeightsError, match=r"does not fit RepVGG of B0 of 7 classes \(set num_classes: 5\)"):
        convert(tiny.state_dict(), variant="B0", num_classes=7)


def interpretkit(*arguments):
    command = [sys.executable, "-m", "interpretkit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_writes_a_file_that_the_model_loads(tmp_path, tiny):
    torch.save({"state_dict": renamed(tiny.state_dict(), TIMM), "epoch": 3}, tmp_path / "train.pth")
    done = interpretkit("convert", tmp_path / "train.pth", "-o", tmp_path / "deploy.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(tmp_path / "deploy.safetensors")]
    expected = reparameterize(tiny).state_dict()
    written = load_file(tmp_path / "deploy.safetensors")
    assert written.keys() == expected.keys()
    assert all(torch.allclose(written[name], value, rtol=1e-6, atol=1e-9) for name, value in expected.items())
    with safe_open(tmp_path / "deploy.safetensors", "pt") as file:
        assert file.metadata()["model"] == "repvgg"
    weights = {"path": str(tmp_path / "deploy.safetensors")}
    model = ik.load_model("repvgg", weights=weights, variant="custom", **TINY, form="deploy", num_classes=5)
    assert model.notes == ("reparameterized",)


def test_the_command_says_what_is_wrong(tmp_path, tiny):
    save_file(tiny.state_dict(), tmp_path / "train.safetensors")
    done = interpretkit(
        "convert", tmp_path / "train.safetensors", "-o", tmp_path / "out.safetensors", "--set", "num_classes=7"
    )
    assert done.returncode == 4
    assert "widths 8-12-12-16, 5 classes does not fit" in done.stderr
    assert "train.safetensors" in done.stderr
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("form", ["train", "deploy"])
@pytest.mark.parametrize("variant", [custom(**TINY), VARIANTS["L2pse"]], ids=["RepVGG", "RepVGGplus"])
@pytest.mark.parametrize("head", [True, False], ids=["with its head", "of the backbone alone"])
def test_without_a_head_a_network_returns_what_the_head_was_given(variant, form, head):
    network = network_of(variant)
    state = network.state_dict()
    if not head:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("linear") and "_aux" not in name}
    options = {"variant": "L2pse"} if variant.post_se else {"variant": "custom", **TINY}
    model = build(state, form=form, num_classes=0, **options)
    assert list(model.outputs) == ["embedding"]
    network.linear = torch.nn.Identity()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            model.module.double()(image.double()), network.double()(image.double()), rtol=1e-4, atol=1e-5
        )
    converted = convert(model.module.state_dict(), num_classes=0, **options)
    assert not any(name.startswith("linear") for name in converted)
    if not head:
        with pytest.raises(WeightsError) as caught:
            build(state, form=form, **options)
        assert "num_classes: 0 builds no head" in caught.value.hint
