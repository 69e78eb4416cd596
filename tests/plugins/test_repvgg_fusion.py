"""Blocks and networks against their fused twins; the equivalent kernel, the custom L2 and gradient checkpointing."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from interpretkit_repvgg.network import DeployBlock, RepVGG, TrainingBlock
from interpretkit_repvgg.reparameterize import reparameterize
from interpretkit_repvgg.variants import VARIANTS, custom

KINDS = {
    "plain": {},
    "first of a stage": {"out_channels": 16, "stride": 2},
    "wider": {"out_channels": 12},
    "two groups": {"groups": 2},
    "four groups": {"groups": 4},
    "grouped and strided": {"groups": 4, "stride": 2},
    "gated": {"se": 4},
    "gated after": {"post_se": 4, "groups": 2},
}


def randomise(module):
    """Make every normalisation do something: scales of both signs, statistics and shifts away from 0 and 1."""
    generator = torch.Generator().manual_seed(7)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            if part.affine:
                signs = torch.randint(0, 2, part.weight.shape, generator=generator) * 2 - 1
                part.weight.data = (torch.rand(part.weight.shape, generator=generator) / 2 + 0.5) * signs
                part.bias.data.normal_(0, 0.1, generator=generator)
    return module.eval()


def block_of(out_channels=8, *, stride=1, **options):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return randomise(TrainingBlock(8, out_channels, stride=stride, **options)).double()


def images(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=dtype)


def relative_difference(value, reference):
    return ((value - reference).abs().max() / reference.abs().max()).item()


def before_the_gates(block, inputs):
    summed = block.rbr_dense(inputs) + block.rbr_1x1(inputs)
    return summed + block.rbr_identity(inputs) if block.has_identity else summed


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_fused_block_of_any_kind_equals_its_branches(kind):
    block = block_of(**KINDS[kind])
    fused = reparameterize(block)
    inputs = images(2, 8, 9, 11)
    assert isinstance(fused, DeployBlock)
    assert relative_difference(fused.rbr_reparam(inputs), before_the_gates(block, inputs)) <= 1e-12
    assert relative_difference(fused(inputs), block(inputs)) <= 1e-12


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_the_equivalent_kernel_is_the_impulse_response_of_the_branches(kind):
    block = block_of(**KINDS[kind])
    kernel, bias = block.equivalent_kernel_bias()
    constant = before_the_gates(block, torch.zeros(1, 8, 5, 5).double())
    assert torch.allclose(constant, bias[None, :, None, None].expand_as(constant), rtol=1e-12)
    step = block.rbr_dense.conv.stride[0]
    for channel in range(8):
        impulse = torch.zeros(1, 8, 9, 9).double()
        impulse[0, channel, 4, 4] = 1
        group = channel // kernel.shape[1]
        width = kernel.shape[0] // (8 // kernel.shape[1])
        expected = torch.zeros(kernel.shape[0], 9, 9).double()
        expected[group * width : (group + 1) * width, 3:6, 3:6] = kernel[
            group * width : (group + 1) * width, channel % kernel.shape[1]
        ].flip(1, 2)
        response = before_the_gates(block, impulse)[0] - bias[:, None, None]
        assert torch.allclose(response, expected[:, ::step, ::step], atol=1e-14)


@torch.no_grad()
@pytest.mark.parametrize(("name", "size"), [("A0", 33), ("B0", 33), ("B1g4", 32), ("D2se", 32)])
def test_logits_are_the_same_in_both_forms(name, size):
    with torch.device("meta"):
        network = RepVGG(VARIANTS[name], num_classes=10)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        bound = (3 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
        parameter.uniform_(-bound, bound, generator=generator)
    source, inputs = randomise(network), images(1, 3, size, size + 9, dtype=torch.float32)
    assert relative_difference(reparameterize(source)(inputs), source(inputs)) <= 1e-5
    if name in {"A0", "B1g4"}:
        source, inputs = source.double(), inputs.double()
        assert relative_difference(reparameterize(source)(inputs), source(inputs)) <= 1e-11


def identity_of_the_wrong_group(block, kernel):
    scale = block.rbr_identity.weight / (block.rbr_identity.running_var + block.rbr_identity.eps).sqrt()
    for channel in range(len(scale)):
        kernel[channel, channel % kernel.shape[1], 1, 1] -= scale[channel]
        kernel[channel, (channel + 1) % kernel.shape[1], 1, 1] += scale[channel]


def one_branch_dropped(block, kernel):
    norm = block.rbr_1x1.bn
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernel[:, :, 1, 1] -= block.rbr_1x1.conv.weight[:, :, 0, 0] * scale[:, None]


@torch.no_grad()
@pytest.mark.parametrize("mutate", [identity_of_the_wrong_group, one_branch_dropped])
def test_the_comparison_sees_a_wrong_fusion_of_groups(mutate):
    block = block_of(groups=2)
    fused = reparameterize(block).rbr_reparam
    mutate(block, fused.weight)
    inputs = images(2, 8, 9, 11)
    assert relative_difference(fused(inputs), before_the_gates(block, inputs)) > 1e-3


# Any normalisation, any module around the blocks


@torch.no_grad()
def test_normalisations_of_several_processes_are_fused():
    block = block_of(groups=2)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(block))
    assert isinstance(synchronised.rbr_identity, nn.SyncBatchNorm)
    fused = reparameterize(synchronised.eval())
    assert torch.equal(fused.rbr_reparam.weight, reparameterize(block).rbr_reparam.weight)


@torch.no_grad()
def test_normalisations_without_weight_and_bias_are_fused():
    block = block_of()
    for part in (block.rbr_dense, block.rbr_1x1):
        part.bn = randomise(nn.BatchNorm2d(8, affine=False)).double()
    block.rbr_identity = randomise(nn.BatchNorm2d(8, affine=False)).double()
    inputs = images(2, 8, 9, 11)
    assert relative_difference(reparameterize(block)(inputs), block(inputs)) <= 1e-12


def test_a_normalisation_without_running_statistics_is_refused_by_name():
    network = nn.Sequential(block_of(), block_of()).eval()
    network[1].rbr_1x1.bn = nn.BatchNorm2d(8, track_running_stats=False).eval()
    with pytest.raises(ValueError, match=r"^1: .*without running statistics"):
        reparameterize(network)


@torch.no_grad()
@pytest.mark.parametrize(("mode", "dilation"), [("zeros", 2), ("reflect", 1), ("circular", 2)])
def test_a_fused_convolution_keeps_padding_and_dilation(mode, dilation):
    block = block_of(groups=2)
    dense = block.rbr_dense.conv
    block.rbr_dense.conv = nn.Conv2d(
        8, 8, 3, padding=dilation, dilation=dilation, padding_mode=mode, groups=2, bias=False, dtype=torch.float64
    )
    block.rbr_dense.conv.weight = dense.weight
    fused = reparameterize(block.eval())
    inputs = images(2, 8, 9, 11)
    assert (fused.rbr_reparam.padding_mode, fused.rbr_reparam.dilation) == (mode, (dilation, dilation))
    assert relative_difference(fused(inputs), block(inputs)) <= 1e-12


class Segmenter(nn.Module):
    """A backbone of blocks under a head of its own."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"stem": TrainingBlock(3, 8, stride=2), "body": TrainingBlock(8, 8, stride=1)})
        self.head = nn.Sequential(nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4))
        self.shared = self.backbone["body"]
        self.kept = None

    def forward(self, inputs):
        features = self.shared(self.backbone["body"](self.backbone["stem"](inputs)))
        self.kept = features
        return functional.interpolate(self.head(features), inputs.shape[-2:])


def test_blocks_inside_another_network_are_fused():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        segmenter = randomise(Segmenter()).double()
    calls = []
    segmenter.register_forward_hook(lambda *arguments: calls.append("root"))
    segmenter.shared.register_forward_pre_hook(lambda *arguments: calls.append("block"))
    inputs = images(2, 3, 16, 24)
    expected = segmenter(inputs)
    assert segmenter.kept.grad_fn is not None
    fused = reparameterize(segmenter)
    calls.clear()
    assert relative_difference(fused(inputs), expected) <= 1e-12
    assert calls == []
    assert fused.shared is fused.backbone["body"]
    assert isinstance(fused.shared, DeployBlock)
    assert isinstance(segmenter.shared, TrainingBlock)
    pointers = [{each.data_ptr() for each in part.state_dict().values()} for part in (segmenter, fused)]
    assert not pointers[0] & pointers[1]
    assert not any(part.training for part in fused.modules())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), "holds no block of a RepVGG"),
        (lambda: nn.Sequential(reparameterize(block_of())).eval(), "re-parameterised already"),
        (lambda: nn.Sequential(block_of().train()).eval().append(nn.Dropout()), "training mode"),
    ],
)
def test_what_cannot_be_fused_is_refused(module, message):
    with pytest.raises(ValueError, match=message):
        reparameterize(module())


# For training


@pytest.mark.parametrize("kind", KINDS)
def test_the_equivalent_kernel_is_differentiable(kind):
    block = block_of(**KINDS[kind])
    kernel, bias = block.equivalent_kernel_bias()
    (kernel.square().sum() + bias.square().sum()).backward()
    used = [part for name, part in block.named_parameters() if name.startswith("rbr_")]
    assert all(part.grad.isfinite().all() and part.grad.abs().sum() > 0 for part in used)
    weight = block.rbr_dense.bn.weight

    def norm_with(value):
        with torch.no_grad():
            weight[0] = value
            return sum(each.square().sum() for each in block.equivalent_kernel_bias())

    before = weight[0].item()
    slope = (norm_with(before + 1e-6) - norm_with(before - 1e-6)) / 2e-6
    assert slope.item() == pytest.approx(weight.grad[0].item(), rel=1e-6)


def test_a_fused_block_returns_its_own_kernel():
    fused = reparameterize(block_of())
    kernel, bias = fused.equivalent_kernel_bias()
    assert kernel is fused.rbr_reparam.weight
    assert bias is fused.rbr_reparam.bias
    assert fused.custom_l2().item() == pytest.approx((kernel.detach().numpy() ** 2).sum())


@pytest.mark.parametrize("kind", ["plain", "grouped and strided"])
def test_the_custom_l2_is_that_of_the_authors(kind):
    block = block_of(**KINDS[kind])
    total = 0.0
    dense, point = block.rbr_dense, block.rbr_1x1
    for output in range(dense.conv.weight.shape[0]):
        first, second = (
            (each.bn.weight[output] / (each.bn.running_var[output] + each.bn.eps) ** 0.5).item()
            for each in (dense, point)
        )
        for channel in range(dense.conv.weight.shape[1]):
            taps = dense.conv.weight[output, channel].flatten().tolist()
            total += sum(tap**2 for place, tap in enumerate(taps) if place != 4)
            centre = taps[4] * first + point.conv.weight[output, channel].item() * second
            total += centre**2 / (first**2 + second**2)
    assert block.custom_l2().item() == pytest.approx(total, rel=1e-12)


def test_the_custom_l2_is_finite_where_scales_are_zero():
    block = block_of()
    with torch.no_grad():
        block.rbr_dense.bn.weight[:3] = 0
        block.rbr_1x1.bn.weight[2:5] = 0
    value = block.custom_l2()
    value.backward()
    kernels = (block.rbr_dense.conv.weight, block.rbr_1x1.conv.weight)
    assert value.isfinite()
    assert all(kernel.grad.isfinite().all() for kernel in kernels)
    # Channel 2 has no scale at all: at its centre nothing is penalised, elsewhere the kernel is.
    assert kernels[0].grad[2, :, 1, 1].abs().max() == 0
    assert kernels[0].grad[2, :, 0, 0].abs().min() > 0
    # The scales are constants of the penalty.
    assert block.rbr_dense.bn.weight.grad is None


# Gradient checkpointing


def network_of(**options):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return randomise(RepVGG(custom([2, 2, 1, 1], [8, 16, 16, 16], se=4), num_classes=5, **options)).double()


def test_checkpointing_gives_the_same_gradients_and_counts_every_batch_once():
    usual, saving = network_of().train(), network_of(checkpointing=True).train()
    for network in (usual, saving):
        for _ in range(2):
            functional.cross_entropy(network(images(3, 3, 32, 40)), torch.tensor([0, 1, 2])).backward()
    for (name, ours), theirs in zip(saving.named_parameters(), usual.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12), name
    for (name, ours), theirs in zip(saving.state_dict().items(), usual.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert int(saving.stage0.rbr_dense.bn.num_batches_tracked) == 2
    assert saving.stage0.rbr_dense.bn.momentum == 0.1


def test_checkpointing_saves_memory():
    def saved(network):
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(images(1, 3, 64, 64))
        return sum(sizes)

    assert saved(network_of(checkpointing=True).train()) < saved(network_of().train()) / 2


def test_checkpointing_works_behind_a_frozen_stem_and_for_gradients_at_the_input():
    network = network_of(checkpointing=True).train()
    network.stage0.requires_grad_(False)
    network(images(2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.stage1.parameters())
    inputs = images(2, 3, 32, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(network(inputs).square().sum(), inputs)
    assert gradient.abs().sum() > 0


def test_checkpointing_is_off_in_eval_mode():
    network = network_of(checkpointing=True)
    calls = []
    network.stage1[0].rbr_dense.register_forward_hook(lambda *arguments: calls.append(1))
    inputs = images(1, 3, 32, 32).requires_grad_()
    torch.autograd.grad(network(inputs).sum(), inputs)
    assert calls == [1]
    assert torch.equal(network(inputs), network_of()(inputs))


def test_the_documented_example_runs():
    page = (Path(__file__).parents[2] / "docs" / "repvgg.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names = {}
    exec(code, names)  # noqa: S102 - it is our own page
    assert isinstance(names["deployed"]["backbone"].stage0, DeployBlock)
    assert names["penalty"].item() > 0
