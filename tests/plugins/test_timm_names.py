from __future__ import annotations

import pytest
import torch

import interpretkit as ik
from interpretkit import WeightsError

timm = pytest.importorskip("timm")

REPEATS = {
    "lite0": (1, 2, 2, 3, 3, 4, 1),
    "lite1": (1, 3, 3, 4, 4, 5, 1),
    "lite2": (1, 3, 3, 4, 4, 5, 1),
    "lite3": (1, 3, 3, 5, 5, 6, 1),
    "lite4": (1, 4, 4, 6, 6, 8, 1),
    "b0": (1, 2, 2, 3, 3, 4, 1),
    "b3": (2, 3, 3, 5, 5, 6, 2),
}
"""How often a block is repeated in each stage, by the table of the paper and its rule: times a factor, rounded up."""

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def names_of_the_port(size):
    """Write the names down in the order in which the port makes its layers."""
    gates = ("_se_reduce", "_se_expand") if size.startswith("b") else ()
    names = ["_conv_stem.weight", *(f"_bn0.{each}" for each in NORM)]
    first, *others = REPEATS[size]
    for number in range(first + sum(others)):
        expands = number >= first
        parts = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1"] if expands else ["_depthwise_conv", "_bn1"]
        for part in [*parts, *gates, "_project_conv", "_bn2"]:
            tensors = NORM if "_bn" in part else ("weight", "bias") if part in gates else ("weight",)
            names += [f"_blocks.{number}.{part}.{tensor}" for tensor in tensors]
    return [*names, "_conv_head.weight", *(f"_bn1.{each}" for each in NORM), "_fc.weight", "_fc.bias"]


def trained(name, **options):
    """A network of timm of which no two tensors are alike."""
    torch.manual_seed(0)
    network = timm.create_model(name, **options).eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
        else:
            tensor.random_(1000)
    return network


@pytest.mark.parametrize("size", REPEATS)
def test_the_tensors_of_the_port_are_in_the_order_of_those_of_timm(size, tmp_path):
    network = trained(f"tf_efficientnet_{size}")
    expected = network.state_dict()
    port = dict(zip(names_of_the_port(size), expected.values(), strict=True))
    torch.save(port, tmp_path / "port.pth")
    model = ik.load_model("timm", name=f"tf_efficientnet_{size}", weights={"path": str(tmp_path / "port.pth")})
    found = model.module.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert (model.weights.prefix, model.weights.missing, model.weights.left_out) == ("", (), ())


@pytest.fixture
def port():
    """The weights of a small network under the names of the port."""
    state = trained("tf_efficientnet_lite0", num_classes=3).state_dict()
    return dict(zip(names_of_the_port("lite0"), state.values(), strict=True))


def loaded(state, folder, **options):
    torch.save({"state_dict": state}, folder / "weights.pth")
    options = {"name": "tf_efficientnet_lite0", "num_classes": 3} | options
    return ik.load_model("timm", weights={"path": str(folder / "weights.pth")}, device="cpu", **options)


def test_a_prefix_is_taken_off_before(port, tmp_path):
    model = loaded({f"module.{name}": tensor for name, tensor in port.items()}, tmp_path)
    assert torch.equal(model.module.classifier.weight, port["_fc.weight"])
    assert model.weights.prefix == "module."


def test_a_network_without_classes_leaves_the_head_out(port, tmp_path):
    model = loaded(port, tmp_path, num_classes=0)
    assert torch.equal(model.module.conv_head.weight, port["_conv_head.weight"])
    assert sorted(model.weights.left_out) == ["classifier.bias", "classifier.weight"]


def test_a_network_that_would_take_them_and_pads_otherwise_does_not_get_them(port, tmp_path):
    with pytest.raises(WeightsError, match="pads as TensorFlow does, which efficientnet_lite0 does not") as caught:
        loaded(port, tmp_path, name="efficientnet_lite0")
    assert caught.value.hint.startswith("set name: tf_efficientnet_…")


def test_another_size_and_another_network_are_refused(port, tmp_path):
    with pytest.raises(WeightsError, match=r"do not fit: .* missing"):
        loaded(port, tmp_path, name="tf_efficientnet_lite3")
    with pytest.raises(WeightsError, match="do not fit"):
        loaded(port, tmp_path, name="resnet18")


def test_a_tensor_that_is_there_under_both_names_is_refused(port, tmp_path):
    with pytest.raises(WeightsError, match="under the names of two libraries"):
        loaded(port | {"conv_stem.weight": port["_conv_stem.weight"]}, tmp_path)
