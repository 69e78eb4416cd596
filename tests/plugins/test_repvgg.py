from __future__ import annotations

import copy
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

import interpretkit as ik
from interpretkit import Model, Preprocessing, WeightsError
from interpretkit_repvgg import interpretkit_models
from interpretkit_repvgg.builder import RepVGGBuilder, aliases_of
from interpretkit_repvgg.digits import DigitsBuilder
from interpretkit_repvgg.network import BranchSum, DeployBlock, RepVGG, TrainingBlock
from interpretkit_repvgg.plus import RepVGGPlus
from interpretkit_repvgg.reparameterize import reparameterize
from interpretkit_repvgg.variants import VARIANTS, Variant, VariantName

STAGES = {"stage1": 4, "stage2": 6, "stage3": 16, "stage4": 1}
BLOCKS = ["stage0", *(f"{stage}.{index}" for stage, count in STAGES.items() for index in range(count))]
# The first block of a stage changes the resolution; stage0 and stage4 have no other.
WITHOUT_IDENTITY = {"stage0", "stage1.0", "stage2.0", "stage3.0", "stage4.0"}


def build(state=None, **options):
    return RepVGGBuilder(RepVGGBuilder.Options(**options)).build(state)


def build_seeded(seed, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(**options).module


def randomise_norms(module, *, seed):
    """Make every normalisation do something: scales of both signs, statistics and shifts away from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            signs = torch.randint(0, 2, part.weight.shape, generator=generator) * 2 - 1
            with torch.no_grad():
                part.weight.uniform_(0.5, 1, generator=generator).mul_(signs)
                part.bias.normal_(0, 0.1, generator=generator)
                part.running_mean.normal_(0, 0.1, generator=generator)
                part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module


def images(height, width, *, count=2, channels=3, dtype=torch.float32):
    shape = (count, channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(height * width), dtype=dtype)


def relative_difference(value, reference):
    return ((value - reference).abs().max() / reference.abs().max()).item()


@torch.no_grad()
def logits(module, inputs):
    return module(inputs)


@pytest.fixture(scope="module")
def network():
    return randomise_norms(build_seeded(0, num_classes=10), seed=1).eval()


@pytest.fixture(scope="module")
def precise(network):
    return copy.deepcopy(network).double()


@pytest.fixture(scope="module")
def precise_deployed(precise):
    return reparameterize(precise)


@pytest.fixture(scope="module")
def deployed(network):
    return reparameterize(network)


@pytest.fixture
def small():
    """A network with the same kinds of blocks, for what does not depend on depth and width."""
    variant = Variant(blocks=(2, 2, 1, 1), multipliers=(0.125, 0.125, 0.125, 0.125))
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return randomise_norms(RepVGG(variant, num_classes=5), seed=5).eval()


@pytest.fixture(scope="module")
def timm_network():
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return randomise_norms(timm.create_model("repvgg_b0", num_classes=10), seed=3).eval()


# The network


@pytest.mark.parametrize(("form", "parameters", "keys"), [("train", 15_817_960, 453), ("deploy", 14_339_048, 58)])
def test_b0_has_the_published_number_of_parameters_and_the_official_keys(form, parameters, keys):
    with torch.device("meta"):
        module = build(form=form).module
    names = set(module.state_dict())
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    assert len(names) == keys
    assert names == official_keys(form)


def official_keys(form):
    tensors = ["weight", "bias"]
    norm = [*tensors, "running_mean", "running_var", "num_batches_tracked"]
    keys = {f"linear.{tensor}" for tensor in tensors}
    for block in BLOCKS:
        if form == "deploy":
            keys |= {f"{block}.rbr_reparam.{tensor}" for tensor in tensors}
            continue
        for branch in ("rbr_dense", "rbr_1x1"):
            keys |= {f"{block}.{branch}.conv.weight", *(f"{block}.{branch}.bn.{tensor}" for tensor in norm)}
        if block not in WITHOUT_IDENTITY:
            keys |= {f"{block}.rbr_identity.{tensor}" for tensor in norm}
    return keys


def test_a_block_that_changes_shape_has_no_identity_submodule(network):
    paths = dict(network.named_modules())
    assert {name for name in BLOCKS if f"{name}.rbr_identity" not in paths} == WITHOUT_IDENTITY
    assert not hasattr(network.stage0, "rbr_identity")


@pytest.mark.parametrize("form", ["train", "deploy"])
@pytest.mark.parametrize(
    ("size", "grids"),
    [
        ((224, 224), [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)]),
        ((225, 225), [(113, 113), (57, 57), (29, 29), (15, 15), (8, 8)]),
        ((97, 181), [(49, 91), (25, 46), (13, 23), (7, 12), (4, 6)]),
        ((1, 1), [(1, 1)] * 5),
    ],
)
def test_stages_have_the_published_shapes_at_any_size(form, size, grids):
    with torch.device("meta"):
        model = build(form=form)
    stages = [f"stage{number}" for number in range(5)]
    shapes = [row.shape for row in model.layers(*stages, "linear", size=size)]
    widths = [64, 64, 128, 256, 1280]
    assert shapes == [*((width, *grid) for width, grid in zip(widths, grids, strict=True)), (1000,)]


@pytest.mark.parametrize(
    ("blocks", "extents"),
    [
        ((2, 4, 14, 1), (3, 15, 71, 503, 535)),
        ((4, 6, 16, 1), (3, 31, 119, 615, 647)),
    ],
    ids=["A", "B"],
)
@pytest.mark.parametrize("block", [TrainingBlock, DeployBlock])
def test_stages_have_the_receptive_fields_of_their_closed_form(block, blocks, extents):
    variant = Variant(blocks=blocks, multipliers=(1, 1, 1, 2.5))
    with torch.device("meta"):
        network = RepVGG(variant, num_classes=10, block=block)
    model = Model(module=network, aliases=network.last_blocks)
    *stages, linear = model.layers(*(f"stage{number}" for number in range(5)), "linear")
    assert [row.receptive_field for row in stages] == [(extent, extent) for extent in extents]
    assert [row.stride for row in stages] == [(2, 2), (4, 4), (8, 8), (16, 16), (32, 32)]
    assert (linear.receptive_field, linear.stride) == (("all", "all"), (None, None))


@pytest.mark.parametrize("form", ["train", "deploy"])
def test_logits_equal_those_of_timm(form, timm_network):
    module = build(timm_network.state_dict(), num_classes=10, form=form).module
    inputs = images(64, 96)
    assert relative_difference(logits(module, inputs), logits(timm_network, inputs)) <= 1e-5


def test_training_mode_updates_every_normalisation_once(small):
    small.train()(images(33, 40)).sum().backward()
    norms = [part for part in small.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms) == 2 * 7 + 2
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
    assert all(parameter.grad is not None for parameter in small.parameters())


@pytest.mark.parametrize("form", ["train", "deploy"])
def test_no_layer_changes_what_another_returned(form, small):
    seen = []
    module = small if form == "train" else reparameterize(small)
    handles = [
        part.register_forward_hook(lambda part, arguments, output: seen.append((output, output.clone())))
        for part in module.modules()
    ]
    logits(module, images(32, 32))
    for handle in handles:
        handle.remove()
    assert len(seen) == len(list(module.modules()))
    assert all(torch.equal(output, copied) for output, copied in seen)


@torch.no_grad()
def test_the_sum_before_the_relu_is_a_layer(small):
    block = small.stage1[1]
    inputs = images(5, 7, channels=8)
    summed = []
    handle = block.rbr_sum.register_forward_hook(lambda part, arguments, output: summed.append(output))
    output = block(inputs)
    handle.remove()
    assert torch.equal(summed[0], block.rbr_dense(inputs) + block.rbr_1x1(inputs) + block.rbr_identity(inputs))
    assert torch.equal(output, summed[0].clamp(min=0))
    assert summed[0].min() < 0


# Re-parameterisation


@torch.no_grad()
def difference_before_the_relu(block, convolution):
    """Run a block's branches and one convolution on a small, odd, oblong input."""
    inputs = images(9, 11, channels=convolution.in_channels, dtype=torch.float64)
    summed = []
    handle = block.rbr_sum.register_forward_hook(lambda part, arguments, output: summed.append(output))
    block(inputs)
    handle.remove()
    return relative_difference(convolution(inputs), summed[0])


@pytest.mark.parametrize("name", BLOCKS)
def test_a_fused_block_equals_its_branches(name, precise, precise_deployed):
    block = precise.get_submodule(name)
    assert difference_before_the_relu(block, precise_deployed.get_submodule(name).rbr_reparam) <= 1e-12


def identity_dropped(block, fused):
    scale = block.rbr_identity.weight / (block.rbr_identity.running_var + block.rbr_identity.eps).sqrt()
    fused.weight[:, :, 1, 1] -= scale.diag()


def padded_at_the_corner(block, fused):
    norm = block.rbr_1x1.bn
    kernel = block.rbr_1x1.conv.weight[:, :, 0, 0] * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None]
    fused.weight[:, :, 1, 1] -= kernel
    fused.weight[:, :, 0, 0] += kernel


def wrong_eps(block, fused):
    norm = block.rbr_dense.bn
    ratio = ((norm.running_var + norm.eps) / (norm.running_var + 1.1 * norm.eps)).sqrt()
    dense = block.rbr_dense.conv.weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None, None]
    fused.weight += dense * (ratio - 1)[:, None, None, None]


def bias_zeroed(block, fused):
    fused.bias.zero_()


@torch.no_grad()
@pytest.mark.parametrize("mutate", [identity_dropped, padded_at_the_corner, wrong_eps, bias_zeroed])
def test_the_comparison_of_blocks_sees_a_wrong_fusion(mutate, precise, precise_deployed):
    block = precise.stage2[3]
    fused = copy.deepcopy(precise_deployed.stage2[3].rbr_reparam)
    mutate(block, fused)
    assert difference_before_the_relu(block, fused) > 1e-8


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_logits_are_the_same_in_both_forms(dtype, tolerance, network):
    source = copy.deepcopy(network).to(dtype)
    inputs = images(64, 33, dtype=dtype)
    assert relative_difference(logits(reparameterize(source), inputs), logits(source, inputs)) <= tolerance


def test_gradients_at_the_input_are_the_same_in_both_forms(precise, precise_deployed):
    inputs = images(32, 32, dtype=torch.float64).requires_grad_()
    ours, theirs = (
        torch.autograd.grad(functional.log_softmax(each(inputs), 1)[:, 3].sum(), inputs)[0]
        for each in (precise, precise_deployed)
    )
    assert relative_difference(theirs, ours) <= 1e-10


@torch.no_grad()
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_fused_convolution_pads_as_its_source_does(mode, small):
    source = small.double()
    source.stage1[1].rbr_dense.conv.padding_mode = mode
    fused = reparameterize(source).stage1[1].rbr_reparam
    assert fused.padding_mode == mode
    assert difference_before_the_relu(source.stage1[1], fused) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_reparameterize_keeps_the_dtype(dtype, small):
    fused = reparameterize(small.to(dtype))
    assert {parameter.dtype for parameter in fused.parameters()} == {dtype}
    assert logits(fused, images(8, 8, dtype=dtype)).isfinite().all()


def test_half_precision_is_fused_in_double_precision_and_rounded_once(small):
    fused = reparameterize(small.half()).stage1[1].rbr_reparam
    expected = reparameterize(small.double()).stage1[1].rbr_reparam
    assert torch.equal(fused.weight, expected.weight.half())
    assert torch.equal(fused.bias, expected.bias.half())


def test_reparameterize_keeps_frozen_parts_frozen(small):
    small.stage0.requires_grad_(False)
    small.linear.bias.requires_grad_(False)
    frozen = {name for name, parameter in reparameterize(small).named_parameters() if not parameter.requires_grad}
    assert frozen == {"stage0.rbr_reparam.weight", "stage0.rbr_reparam.bias", "linear.bias"}


def test_reparameterize_leaves_its_source_and_the_random_state_alone(small):
    before = {name: value.clone() for name, value in small.state_dict().items()}
    random_state = torch.get_rng_state()
    fused = reparameterize(small)
    assert torch.equal(torch.get_rng_state(), random_state)
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.zero_()
    after = small.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert isinstance(small.stage0, TrainingBlock)
    assert not any(part.training for part in [*small.modules(), *fused.modules()])


def without_running_statistics(network):
    network.stage0.rbr_1x1.bn.running_mean = None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda network: network.stage4.train(), "training mode .* eval()"),
        (without_running_statistics, "without running statistics"),
    ],
)
def test_reparameterize_refuses_what_depends_on_the_batch(spoil, message, small):
    spoil(small)
    with pytest.raises(ValueError, match=message):
        reparameterize(small)


def test_reparameterize_refuses_a_deploy_form(small):
    with pytest.raises(ValueError, match="re-parameterised already"):
        reparameterize(reparameterize(small))


# The builder


def test_the_plugin_offers_the_builder_and_the_options_name_every_variant():
    assert list(interpretkit_models()) == [RepVGGBuilder, DigitsBuilder]
    assert get_args(VariantName) == tuple(VARIANTS)
    assert "2101.03697" in str(ik.citations_of(RepVGGBuilder)[0])
    schema = RepVGGBuilder.Options.model_json_schema()
    assert all(option["description"] for option in schema["properties"].values())


@pytest.mark.parametrize("options", [{"variant": "B9"}, {"form": "fused"}, {"num_classes": -1}, {"classes": 10}])
def test_options_refuse_what_does_not_exist(options):
    with pytest.raises(ValidationError):
        RepVGGBuilder.Options(**options)


@pytest.mark.parametrize(("form", "kind"), [("train", TrainingBlock), ("deploy", DeployBlock)])
def test_the_model_knows_its_name_classes_preprocessing_aliases_and_form(form, kind):
    with torch.device("meta"):
        model = build(form=form)
    assert model.name == "RepVGG-B0"
    assert model.notes == (("reparameterized",) if form == "deploy" else ())
    assert model.preprocessing == Preprocessing(resize=256, crop=224)
    assert (len(model.classes), model.classes[281]) == (1000, "tabby")
    part = "rbr_sum" if form == "train" else "rbr_reparam"
    blocks = {"stage1": "stage1.3", "stage2": "stage2.5", "stage3": "stage3.15", "stage4": "stage4.0"}
    sums = {f"{stage}.pre": f"{block}.{part}" for stage, block in {"stage0": "stage0", **blocks}.items()}
    assert dict(model.aliases) == {**blocks, **sums}
    parts = list(model.module.modules())
    assert [type(part) for part in parts if isinstance(part, TrainingBlock | DeployBlock)] == [kind] * 28
    assert any(isinstance(part, BranchSum) for part in parts) == (form == "train")
    assert not model.module.training


@pytest.mark.parametrize("variant", ["A0", "L2pse"])
def test_the_names_of_the_sums_disturb_no_glob_over_stages_and_blocks(variant):
    with torch.device("meta"):
        model = build(variant=variant, num_classes=10)
        plain = Model(module=model.module, aliases={k: of for k, of in model.aliases.items() if "." not in k})

    def names(of, *patterns):
        return [layer.name for layer in of.find(patterns)]

    assert names(model, "stage?.pre") == [f"stage{number}.pre" for number in range(5)]
    for pattern in ("stage*", "stage?", "stage1.*", "stage1.**", "**", "stage?.*", "stage?.*.rbr_sum", "**.rbr_sum"):
        try:
            expected = names(plain, pattern)
        except ik.RecipeError:
            expected = None
        assert expected is None or names(model, pattern) == expected, pattern


@pytest.mark.parametrize(("kind", "gates"), [(RepVGG, {}), (RepVGG, {"se": 4}), (RepVGGPlus, {"post_se": 4})])
def test_the_signed_sums_of_both_forms_are_equal_and_lie_before_gate_and_relu(kind, gates):
    variant = Variant(blocks=(2, 2, 2, 1), multipliers=(0.125, 0.125, 0.125, 0.125), **gates)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        trained = randomise_norms(kind(variant, num_classes=5), seed=5).double().eval()
    inputs = images(32, 32, dtype=torch.float64)
    sums = [f"stage{number}.pre" for number in range(5)]
    outputs = [f"stage{number}" for number in range(5)]
    found = [
        ik.visualize(
            Model(module=module, aliases=aliases_of(module.last_blocks, form)),
            inputs,
            "feature_grid",
            layers=[*sums, *outputs],
        ).maps
        for form, module in (("train", trained), ("deploy", reparameterize(trained)))
    ]
    for before, after in zip(sums, outputs, strict=True):
        first, second = (maps[before].values for maps in found)
        np.testing.assert_allclose(first, second, rtol=1e-10, atol=1e-12)
        assert (first < 0).any()
        # A gate is positive: it changes no sign, before the ReLU or after.
        positive = found[0][after].values > 0
        assert np.array_equal(positive, first > 0)
        if not gates:
            assert np.array_equal(found[0][after].values, first.clip(0))


def test_a_model_of_other_classes_has_no_class_names():
    with torch.device("meta"):
        assert build(num_classes=10).classes == ()


def test_one_seed_gives_one_function_in_both_forms():
    inputs = images(32, 32)
    first, second = (logits(build_seeded(5, num_classes=10), inputs) for _ in range(2))
    fused = logits(build_seeded(5, num_classes=10, form="deploy"), inputs)
    other = logits(build_seeded(6, num_classes=10), inputs)
    assert torch.equal(first, second)
    assert relative_difference(fused, first) <= 1e-5
    assert relative_difference(other, first) > 1e-2


def test_finding_the_plugin_and_its_builder_does_not_load_torch():
    code = (
        "import sys; from interpretkit_repvgg import interpretkit_models; list(interpretkit_models());"
        "print({'torch', 'torchvision', 'matplotlib', 'captum'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


# Checkpoints


def prefixed(state):
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("wrap", [dict, prefixed])
def test_an_official_checkpoint_loads_with_and_without_a_prefix(wrap, network):
    module = build(wrap(network.state_dict()), num_classes=10).module
    state = module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_the_deploy_form_can_be_had_from_a_checkpoint_of_either_form(network, deployed):
    inputs = images(32, 32)
    fused = build(network.state_dict(), num_classes=10, form="deploy").module
    loaded = build(deployed.state_dict(), num_classes=10, form="deploy").module
    assert relative_difference(logits(fused, inputs), logits(network, inputs)) <= 1e-5
    assert torch.equal(logits(loaded, inputs), logits(deployed, inputs))


def test_a_deploy_form_checkpoint_of_timm_loads(timm_network):
    from timm.utils.model import reparameterize_model

    theirs = reparameterize_model(timm_network)
    module = build(prefixed(theirs.state_dict()), num_classes=10, form="deploy").module
    inputs = images(64, 64)
    assert relative_difference(logits(module, inputs), logits(theirs, inputs)) <= 1e-5


def test_the_training_form_cannot_be_had_from_a_deploy_form_checkpoint(deployed):
    with pytest.raises(WeightsError, match=r"branches .* no longer exist .*form: deploy"):
        build(deployed.state_dict(), num_classes=10)


@pytest.mark.parametrize("form", ["train", "deploy"])
def test_a_head_of_another_size_is_named_with_both_sizes(form, network):
    expected = "a training-form checkpoint of B0, 10 classes does not fit RepVGG-B0 of 1000 classes .*num_classes: 10"
    with pytest.raises(WeightsError, match=expected):
        build(network.state_dict(), form=form)


def without_a_block(state):
    return {name: value for name, value in state.items() if not name.startswith("stage3.15.")}


def with_a_stranger(state):
    return {**state, "stage1.0.se.down.weight": torch.zeros(4, 64, 1, 1)}


def with_another_width(state):
    return {**state, "stage0.rbr_dense.conv.weight": torch.zeros(48, 3, 3, 3)}


def with_an_inner_prefix(state):
    return {name.replace("stage1.0.", "stage1.0.module."): value for name, value in state.items()}


def with_a_prefix_on_one_name(state):
    return {name.replace("linear.bias", "module.linear.bias"): value for name, value in state.items()}


@pytest.mark.parametrize(
    ("change", "example", "kinds", "looks"),
    [
        (
            without_a_block,
            "stage3.15.",
            "5 of rbr_1x1, 5 of rbr_dense, 4 of rbr_identity",
            "4-6-15-1 .* 64-128-256-1280",
        ),
        (with_a_stranger, "stage1.0.se.down.weight", "", "B0"),
        (with_another_width, "stage0.rbr_dense.conv.weight", "", "B0"),
        (with_an_inner_prefix, "stage1.0.module.", "5 of rbr_1x1, 5 of rbr_dense", ""),
        (with_a_prefix_on_one_name, "module.linear.bias", "missing are 1 of linear", "B0"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_described(network, *, change, example, kinds, looks):
    with pytest.raises(WeightsError, match=f"looks like a training-form checkpoint of .*{looks}, 10 classes") as caught:
        build(change(network.state_dict()), num_classes=10)
    assert "the model is RepVGG-B0 of 10" in str(caught.value)
    assert example in str(caught.value)
    assert kinds in str(caught.value)
    assert bool(kinds) == ("missing are" in str(caught.value))


@pytest.mark.parametrize("state", [{}, {"conv1.weight": torch.zeros(1)}])
def test_what_is_no_repvgg_is_called_so(state):
    with pytest.raises(WeightsError, match="no RepVGG checkpoint") as caught:
        build(state)
    assert ("conv1.weight" in str(caught.value)) == bool(state)
