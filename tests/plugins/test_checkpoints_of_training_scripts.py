"""Checkpoints as training scripts write them, for the builders of three libraries."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.errors import WeightsError

BUILDERS = {
    "torchvision": ({"name": "resnet18", "num_classes": 2}, "fc"),
    "timm": ({"name": "repvgg_a0", "num_classes": 2}, "head.fc"),
    "repvgg": ({"variant": "custom", "depths": [1, 1, 1, 1], "widths": [4, 4, 4, 8], "num_classes": 2}, "linear"),
}


def network(builder):
    options, _ = BUILDERS[builder]
    if builder == "torchvision":
        return pytest.importorskip("torchvision").models.get_model("resnet18", weights=None, num_classes=2).eval()
    if builder == "timm":
        return pytest.importorskip("timm").create_model("repvgg_a0", num_classes=2).eval()
    return ik.load_model("repvgg", seed=3, device="cpu", **options).module


@pytest.fixture(params=BUILDERS)
def case(request):
    return request.param, network(request.param)


def loaded(builder, path, **weights):
    options, _ = BUILDERS[builder]
    return ik.load_model(builder, weights={"path": str(path), **weights}, device="cpu", **options)


def under(prefix, net):
    return {prefix + name: tensor for name, tensor in net.state_dict().items()}


def train_script(net):
    moments = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9).state_dict()
    return {
        "state_dict": under("module.", net),
        "optimizer": moments,
        "args": Namespace(lr=0.1, output="runs"),
        "best_acc": np.float64(93.1),
        "epoch": 3,
    }


FILES = {
    "distributed": (lambda net: under("module.", net), {}),
    "compiled": (lambda net: under("_orig_mod.", net), {}),
    "both": (lambda net: under("module._orig_mod.", net), {}),
    "backbone": (lambda net: under("backbone.", net), {}),
    "train script": (train_script, {}),
    "net and accuracy": (lambda net: {"net": net.state_dict(), "acc": 93.1, "epoch": 3}, {}),
    "Lightning": (
        lambda net: {
            "state_dict": under("model.", net) | {"criterion.weight": torch.ones(2)},
            "hyper_parameters": {"class_weights": torch.ones(2)},
            "callbacks": {"checkpoint": {"best_model_score": torch.tensor(0.5)}},
            "pytorch-lightning_version": "2.0",
        },
        {},
    ),
    "averaged": (
        lambda net: {"state_dict": under("old.", nn.Linear(1, 1)), "state_dict_ema": net.state_dict()},
        {"key": "state_dict_ema"},
    ),
    "student": (lambda net: {"student": under("module.", net), "teacher": net.state_dict()}, {"key": "student"}),
    "profiled": (lambda net: net.state_dict() | {"total_ops": torch.ones(1), "x.total_params": torch.ones(1)}, {}),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_logits_are_those_of_the_network_that_was_saved(tmp_path, case, kind):
    builder, net = case
    write, weights = FILES[kind]
    torch.save(write(net), tmp_path / "last.pth")
    model = loaded(builder, tmp_path / "last.pth", **weights)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = model.module(image), net(image)
    values = [each["main"] if isinstance(each, dict) else each for each in (found, expected)]
    assert torch.equal(*values)
    assert model.alert == ""
    if kind == "Lightning":
        assert (model.weights.prefix, model.weights.left_out) == ("model.", ("criterion.weight",))
        assert "without criterion.weight" in str(model.weights)


def test_a_head_under_another_name_is_loaded_when_it_is_named(tmp_path, case):
    builder, net = case
    _, head = BUILDERS[builder]
    renamed = {name.replace(f"{head}.", f"{head}.1."): tensor for name, tensor in net.state_dict().items()}
    torch.save(renamed, tmp_path / "last.pth")
    with pytest.raises(WeightsError, match="rename: "):
        loaded(builder, tmp_path / "last.pth")
    model = loaded(builder, tmp_path / "last.pth", rename={f"{head}.1": head})
    assert torch.equal(model.module.state_dict()[f"{head}.weight"], net.state_dict()[f"{head}.weight"])


def test_a_missing_head_stays_random_and_is_said_where_the_recipe_allows_it(tmp_path, case):
    builder, net = case
    _, head = BUILDERS[builder]
    state = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith(head)}
    torch.save(state, tmp_path / "last.pth")
    with pytest.raises(WeightsError, match="strict: false"):
        loaded(builder, tmp_path / "last.pth")
    model = loaded(builder, tmp_path / "last.pth", strict=False)
    assert model.weights.missing == (f"{head}.weight", f"{head}.bias")
    assert str(model.weights).endswith("last.pth with 2 random tensors")
    assert model.alert == f"PARTLY RANDOM WEIGHTS: 2 tensors not in the file ({head}.weight, {head}.bias)."


def test_what_is_random_or_left_out_stands_in_the_run(tmp_path):
    net = network("repvgg")
    state = under("model.", net) | {"loss.weight": torch.ones(2)}
    del state["model.linear.bias"]
    torch.save({"net": state}, tmp_path / "last.pth")
    options, _ = BUILDERS["repvgg"]
    weights = {"path": str(tmp_path / "last.pth"), "strict": False, "key": "net"}
    step = {"id": "cam", "uses": "grad_cam", "with": {"layers": ["stage4"]}}
    recipe = {
        "schema": "interpretkit/1",
        "name": "partly",
        "model": {"uses": "repvgg", "with": options, "weights": weights},
        "inputs": ["sample:grace_hopper"],
        "steps": [step],
    }
    run = ik.run(recipe, output=tmp_path)
    about = run.manifest["models"]["model"]["weights"]
    assert (about["key"], about["prefix"], about["missing"]) == ("net", "model.", ["linear.bias"])
    assert about["left_out"] == ["loss.weight"]
    assert any(
        "PARTLY RANDOM WEIGHTS: 1 tensor not in the file (linear.bias)." in each for each in run.manifest["alerts"]
    )
    assert "PARTLY RANDOM WEIGHTS" in run.manifest["steps"][0]["figures"][0]["caption"]
    page = (run.path / "report.html").read_text()
    assert "<dt>Prefix taken off</dt><dd>model.</dd>" in page
    assert "loss.weight" in page
