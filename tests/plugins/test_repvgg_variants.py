"""The table of variants against published figures, and every network against timm."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from interpretkit import Preprocessing
from interpretkit_repvgg.builder import RepVGGBuilder
from interpretkit_repvgg.names import official_name
from interpretkit_repvgg.network import DeployBlock, RepVGG, SqueezeExcitation, TrainingBlock
from interpretkit_repvgg.plus import RepVGGPlus
from interpretkit_repvgg.reparameterize import reparameterize
from interpretkit_repvgg.variants import VARIANTS, Variant, custom

# Parameters in training and deploy form, keys in both, GMACs in both at 224², channels of stage0 … stage4, identities.
TABLE = {
    "A0": (9_108_968, 8_309_384, 351, 46, 1.513, 1.361, (48, 48, 96, 192, 1280), 17),
    "A1": (14_092_264, 12_789_864, 351, 46, 2.626, 2.364, (64, 64, 128, 256, 1280), 17),
    "A2": (28_210_600, 25_499_944, 351, 46, 5.685, 5.117, (64, 96, 192, 384, 1408), 17),
    "B0": (15_817_960, 14_339_048, 453, 58, 3.397, 3.058, (64, 64, 128, 256, 1280), 23),
    "B1": (57_415_016, 51_829_480, 453, 58, 13.128, 11.815, (64, 128, 256, 512, 2048), 23),
    "B1g2": (45_782_376, 41_360_104, 453, 58, 9.788, 8.810, (64, 128, 256, 512, 2048), 23),
    "B1g4": (39_966_056, 36_125_416, 453, 58, 8.119, 7.307, (64, 128, 256, 512, 2048), 23),
    "B2": (89_022_376, 80_315_112, 453, 58, 20.418, 18.377, (64, 160, 320, 640, 2560), 23),
    "B2g2": (70_846_376, 63_956_712, 453, 58, 15.200, 13.680, (64, 160, 320, 640, 2560), 23),
    "B2g4": (61_758_376, 55_777_512, 453, 58, 12.591, 11.332, (64, 160, 320, 640, 2560), 23),
    "B3": (123_085_288, 110_960_872, 453, 58, 29.121, 26.209, (64, 192, 384, 768, 2560), 23),
    "B3g2": (96_911_848, 87_404_776, 453, 58, 21.606, 19.446, (64, 192, 384, 768, 2560), 23),
    "B3g4": (83_825_128, 75_626_728, 453, 58, 17.849, 16.064, (64, 192, 384, 768, 2560), 23),
    "D2se": (133_334_836, 120_387_572, 985, 290, 36.477, 32.830, (64, 160, 320, 640, 2560), 43),
}
# Millions of parameters in deploy form as the paper prints them: cut off after two digits, not rounded.
PRINTED = {
    "A0": 8.30, "A1": 12.78, "A2": 25.49, "B0": 14.33, "B1": 51.82, "B1g2": 41.36, "B1g4": 36.12, "B2": 80.31,
    "B2g4": 55.77, "B3": 110.96, "B3g4": 75.62,
}  # fmt: skip
# timm has no B1g2, B2g2 and B3g2.
OF_TIMM = [name for name in TABLE if name not in {"B1g2", "B2g2", "B3g2"}]


def meta_model(**options):
    with torch.device("meta"):
        return RepVGGBuilder(RepVGGBuilder.Options(**options)).build(None)


def parameters_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def networks():
    blocks = {"train": TrainingBlock, "deploy": DeployBlock}
    with torch.device("meta"):
        return {
            (name, form): RepVGG(VARIANTS[name], num_classes=1000, block=block).eval()
            for name in TABLE
            for form, block in blocks.items()
        }


def shapes_of(network, size):
    """Return what every convolution, linear layer and stage returns for one image, in a list by the layer's path."""
    shapes = {}
    wanted = {
        path: part
        for path, part in network.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear) or path.removeprefix("stage").isdigit()
    }
    handles = [
        part.register_forward_hook(lambda part, inputs, output, path=path: shapes.update({path: output.shape[1:]}))
        for path, part in wanted.items()
    ]
    network(torch.zeros(1, 3, size, size, device="meta"))
    for handle in handles:
        handle.remove()
    return shapes


def test_the_table_has_the_published_variants():
    assert list(VARIANTS) == [*TABLE, "L2pse"]
    with pytest.raises(TypeError):
        VARIANTS["B9"] = VARIANTS["B0"]


@pytest.mark.parametrize("form", ["train", "deploy"])
@pytest.mark.parametrize("name", TABLE)
def test_a_variant_has_the_published_figures(name, form, networks):
    network = networks[name, form]
    parameters, keys, giga = (pair[form == "deploy"] for pair in (TABLE[name][:2], TABLE[name][2:4], TABLE[name][4:6]))
    channels, identities = TABLE[name][6:]
    assert parameters_of(network) == parameters
    assert len(network.state_dict()) == keys
    shapes = shapes_of(network, 224)
    grids = [(width, 224 >> halvings, 224 >> halvings) for halvings, width in enumerate(channels, start=1)]
    assert [shapes[f"stage{number}"] for number in range(5)] == grids
    kernels = {path: part.weight for path, part in network.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    multiply_adds = sum(math.prod(shapes[path]) * kernel[0].numel() for path, kernel in kernels.items())
    assert round(multiply_adds / 1e9, 3) == giga
    blocks = [part for part in network.modules() if isinstance(part, TrainingBlock)]
    assert sum(block.has_identity for block in blocks) == (identities if form == "train" else 0)


@pytest.mark.parametrize(("name", "millions"), PRINTED.items())
def test_the_paper_cuts_off_the_number_of_parameters(name, millions, networks):
    assert math.floor(parameters_of(networks[name, "deploy"]) / 1e4) / 100 == millions


@pytest.mark.parametrize(("name", "groups"), [("B1", 1), ("B1g2", 2), ("B2g4", 4), ("B3g2", 2), ("B3g4", 4)])
@pytest.mark.parametrize("form", ["train", "deploy"])
def test_every_other_block_is_grouped_up_to_the_26th(name, groups, form, networks):
    blocks = [each for each in networks[name, form].modules() if isinstance(each, TrainingBlock | DeployBlock)]
    found = [{part.groups for part in block.modules() if isinstance(part, nn.Conv2d)} for block in blocks]
    assert found == [{groups} if index in range(2, 27, 2) else {1} for index in range(28)]


def test_preprocessing_is_that_of_the_published_evaluation():
    assert meta_model(variant="B3g4").preprocessing == Preprocessing(resize=256, crop=224)
    assert meta_model(variant="D2se").preprocessing == Preprocessing(resize=320, crop=320)


@pytest.mark.parametrize(("form", "summed"), [("train", "rbr_sum"), ("deploy", "rbr_reparam")])
def test_squeeze_and_excitation_stands_between_the_sum_and_the_relu(form, summed):
    model = meta_model(variant="D2se", form=form)
    names = [row.name for row in model.layers("stage2.3.*", size=(64, 64))]
    assert names[-3:] == [f"stage2.3.{part}" for part in (summed, "se", "nonlinearity")]
    assert model.module.stage2[3].se.down.out_channels == 320 // 16
    assert model.name == "RepVGG-D2se"


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 96), (96, 64), (5, 9), (16, 8), (1, 1)])
@pytest.mark.parametrize("count", [1, 2])
def test_gates_come_from_the_mean_over_the_whole_grid(size, count):
    gate = SqueezeExcitation(32, ratio=16).double()
    inputs = torch.randn(count, 32, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = torch.tensor([[channel.sum() / channel.numel() for channel in image] for image in inputs]).double()
    hidden = (means @ gate.down.weight[:, :, 0, 0].T + gate.down.bias).clamp(min=0)
    gates = 1 / (1 + torch.exp(-(hidden @ gate.up.weight[:, :, 0, 0].T + gate.up.bias)))
    assert torch.allclose(gate(inputs), inputs * gates[:, :, None, None], rtol=1e-12)


# Options


def test_a_custom_variant_takes_depths_and_widths():
    model = meta_model(variant="custom", depths=[2, 4, 14, 1], widths=[48, 96, 192, 1280])
    assert parameters_of(model.module) == TABLE["A0"][0]
    assert model.name == "RepVGG-custom"
    odd = meta_model(variant="custom", depths=[1, 2, 1, 1], widths=[100, 7, 33, 5], num_classes=4, form="deploy")
    assert [row.shape[0] for row in odd.layers("stage?", "linear")] == [64, 100, 7, 33, 5, 4]


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "custom"},
        {"variant": "custom", "depths": [1, 1, 1, 1]},
        {"variant": "B0", "depths": [1, 1, 1, 1], "widths": [8, 8, 8, 8]},
        {"variant": "custom", "depths": [1, 1, 1], "widths": [8, 8, 8, 8]},
        {"variant": "custom", "depths": [1, 0, 1, 1], "widths": [8, 8, 8, 8]},
        {"in_channels": 0},
    ],
)
def test_incomplete_options_are_refused(options):
    with pytest.raises(ValidationError):
        RepVGGBuilder.Options(**options)


@pytest.mark.parametrize(("channels", "statistics"), [(1, 1), (3, 3), (4, 3)])
@pytest.mark.parametrize("form", ["train", "deploy"])
def test_images_may_have_other_channels(channels, statistics, form):
    model = meta_model(in_channels=channels, form=form)
    assert model.layers("stage0", size=(32, 32))[0].shape == (64, 16, 16)
    assert len(model.preprocessing.mean) == statistics


@pytest.mark.parametrize("row", [*VARIANTS.values(), custom([1, 2, 3, 4], [5, 70, 9, 11])])
def test_a_row_can_be_made_from_depths_and_widths(row):
    again = custom(row.blocks, row.widths[1:], groups=row.groups, se=row.se, post_se=row.post_se)
    assert again == row
    assert again.widths[1:] == row.widths[1:]


def test_a_row_without_a_name_says_its_sizes():
    assert str(VARIANTS["B2g4"]) == "B2g4"
    assert str(custom([1, 2, 3, 4], [5, 70, 9, 11])) == "depths 1-2-3-4 and widths 5-70-9-11"


# timm


@pytest.fixture(scope="module")
def pool():
    return torch.randn(2560 * 2560 * 9 // 3, generator=torch.Generator().manual_seed(0))


def filled(module, pool):
    """Give a module on the meta device weights from a pool of random numbers, and normalisations that do something."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, value in module.state_dict().items():
        shape, size = value.shape, value.numel()
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
        elif value.ndim > 1:
            start = int(torch.randint(0, 1000, (), generator=generator))
            repeated = (
                pool[start : start + size] if size < len(pool) - 1000 else pool.repeat(size // len(pool) + 1)[:size]
            )
            state[name] = repeated.view(shape) / math.sqrt(value[0].numel())
        elif name.endswith(("running_var", "bn.weight", "identity.weight")):
            state[name] = torch.empty(shape).uniform_(0.5, 1.5, generator=generator)
        else:
            state[name] = torch.empty(shape).normal_(0, 0.1, generator=generator)
    module.load_state_dict(state, assign=True)
    return module.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", OF_TIMM)
def test_logits_equal_those_of_timm(name, pool):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        theirs = timm.create_model(f"repvgg_{name.lower()}", num_classes=10)
        ours = RepVGG(VARIANTS[name], num_classes=10).eval()
    state = filled(theirs, pool).state_dict()
    ours.load_state_dict({official_name(key): value for key, value in state.items()}, assign=True)
    inputs = torch.randn(1, 3, 40, 32, generator=torch.Generator().manual_seed(2))
    expected = theirs(inputs)
    assert expected.std() > 1e-3
    assert (ours(inputs) - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("name", ["A0", "B1g4"])
def test_deploy_form_equals_that_of_timm(name, pool):
    timm = pytest.importorskip("timm")
    from timm.utils.model import reparameterize_model

    with torch.device("meta"):
        theirs = timm.create_model(f"repvgg_{name.lower()}", num_classes=10)
        ours = RepVGG(VARIANTS[name], num_classes=10, block=DeployBlock).eval()
    fused = reparameterize_model(filled(theirs, pool), inplace=True)
    ours.load_state_dict({official_name(key): value for key, value in fused.state_dict().items()}, assign=True)
    inputs = torch.randn(1, 3, 40, 32, generator=torch.Generator().manual_seed(2))
    expected = fused(inputs)
    assert (ours(inputs) - expected).abs().max() <= 1e-5 * expected.abs().max()


# RepVGGplus


@pytest.mark.parametrize(("form", "parameters", "keys"), [("train", 146_062_864, 1009), ("deploy", 127_151_960, 290)])
def test_l2pse_has_the_published_figures_and_names(form, parameters, keys):
    model = meta_model(variant="L2pse", form=form)
    assert model.name == "RepVGGplus-L2pse"
    assert parameters_of(model.module) == parameters
    names = set(model.module.state_dict())
    assert len(names) == keys
    part = "rbr_dense.conv" if form == "train" else "rbr_reparam"
    assert {f"stage1.blocks.0.{part}.weight", f"stage3_second.blocks.11.{part}.weight"} <= names
    assert {"stage0.post_se.up.bias", "stage4.blocks.0.post_se.down.weight"} <= names
    heads = {"stage1_aux.0.conv.weight", "stage2_aux.0.bn.running_var", "stage3_first_aux.3.bias"}
    assert heads <= names if form == "train" else not any("_aux" in name for name in names)
    rows = model.layers("stage0", "stage1", "stage2", "stage3", "stage4", size=(320, 320))
    assert [row.shape for row in rows] == [
        (64, 160, 160), (160, 80, 80), (320, 40, 40), (640, 20, 20), (2560, 10, 10)
    ]  # fmt: skip


def test_auxiliary_heads_have_the_published_size():
    network = meta_model(variant="L2pse").module
    assert sum(parameters_of(network.get_submodule(head)) for head in network.heads) == 5_963_640


@pytest.fixture(scope="module")
def small_plus():
    variant = Variant(blocks=(2, 1, 4, 1), multipliers=(0.125, 0.125, 0.0625, 0.0625), post_se=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RepVGGPlus(variant, num_classes=5).double().eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
            nn.init.normal_(part.bias, generator=torch.Generator().manual_seed(2))
    return network


@torch.no_grad()
def test_repvggplus_is_the_same_function_in_both_forms(small_plus):
    inputs = torch.randn(2, 3, 33, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fused = reparameterize(small_plus)
    expected = small_plus(inputs)
    assert (fused(inputs) - expected).abs().max() <= 1e-11 * expected.abs().max()
    assert fused.heads == ()
    assert fused.train()(inputs).shape == (2, 5)
    assert len(small_plus.heads) == 3


def test_repvggplus_returns_its_heads_in_training_mode_only(small_plus):
    inputs = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    assert small_plus(inputs).shape == (2, 5)
    outputs = small_plus.train()(inputs)
    small_plus.eval()
    assert {name: each.shape for name, each in outputs.items()} == dict.fromkeys(
        ("main", "stage1_aux", "stage2_aux", "stage3_first_aux"), (2, 5)
    )
    sum(each.sum() for each in outputs.values()).backward()
    assert all(parameter.grad is not None for parameter in small_plus.parameters())


@torch.no_grad()
def test_in_repvggplus_squeeze_and_excitation_follows_the_relu(small_plus):
    block = small_plus.stage1.blocks[1]
    inputs = torch.randn(1, 8, 5, 7, dtype=torch.float64)
    summed = block.rbr_dense(inputs) + block.rbr_1x1(inputs) + block.rbr_identity(inputs)
    assert torch.equal(block(inputs), block.post_se(summed.clamp(min=0)))
