from __future__ import annotations

import hashlib
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from interpretkit.contracts.builder import ModelBuilder
from interpretkit.errors import PluginError, WeightsError
from interpretkit.model.model import Model
from interpretkit.model.weights.fitting import load_state
from interpretkit.model.weights.load import blank, load
from interpretkit.recipe.entries import PathWeights


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


class Tiny(ModelBuilder):
    name = "tiny"

    def build(self, state):
        module = network()
        if state is not None:
            load_state(module, state)
        return Model(module=module, name="tiny")


TINY = Tiny(Tiny.Options())


def trained(fill=0.5):
    return {name: torch.full_like(tensor, fill) for name, tensor in network().state_dict().items()}


def loaded(weights, *, seed=0, device="cpu", dtype="float32"):
    return load(TINY, weights, seed=seed, device=device, dtype=dtype)


def test_random_weights_are_what_the_seed_gives_and_the_callers_random_numbers_are_left_alone(same):
    torch.manual_seed(3)
    expected = network().state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    with torch.device("meta"):
        model = loaded("random", seed=3)
    blank(TINY)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(model.module.state_dict(), expected)
    assert not same(loaded("random", seed=4).module.state_dict(), expected)
    assert model.notes == ("untrained",)
    assert str(model.weights) == "random weights"
    assert not any(part.training for part in model.module.modules())


def test_random_weights_do_not_depend_on_the_callers_default_dtype(same):
    expected = loaded("random", seed=3).module.state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        assert same(loaded("random", seed=3).module.state_dict(), expected)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_weights_of_a_file_are_loaded_with_their_origin(tmp_path, same):
    path = tmp_path / "weights.safetensors"
    save_file(trained(0.1), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = loaded(PathWeights(path=str(path), sha256=digest), dtype="float64")
    expected = {name: value.double() if value.is_floating_point() else value for name, value in trained(0.1).items()}
    assert same(model.module.state_dict(), expected)
    assert (model.weights.kind, model.weights.source, model.weights.sha256) == ("path", str(path), digest)
    assert model.notes == ()
    assert not model.module.training


def test_a_misfit_names_the_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=r"6 missing .* 1 unexpected") as caught:
        loaded(PathWeights(path=str(path)))
    assert caught.value.where == str(path)


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), "float32"), (float("-inf"), "float32"), (1e6, "float16")])
def test_weights_that_are_not_finite_are_named(tmp_path, value, dtype):
    path = tmp_path / "weights.safetensors"
    state = trained()
    state["1.bias"][1] = state["1.running_var"][0] = value
    save_file(state, path)
    with pytest.raises(WeightsError, match=re.escape(f"weights '1.bias' hold NaN or infinity in {dtype}")):
        loaded(PathWeights(path=str(path)), dtype=dtype)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_an_absent_device_is_an_error_and_no_reason_to_take_another(device):
    with pytest.raises(PluginError, match=f"device '{device}' cannot be used") as caught:
        loaded("random", device=device)
    assert caught.value.exit_code == 3


def test_the_device_auto_is_the_gpu_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert loaded("random", device="auto").module[0].weight.device.type == expected


def test_a_blank_model_has_layers_and_no_memory():
    model = blank(TINY)
    assert {parameter.device.type for parameter in model.module.parameters()} == {"meta"}
    assert [layer.name for layer in model.find(["*"])] == ["0", "1"]


def test_a_builder_that_builds_no_model_is_named():
    class Wrong(Tiny):
        name = "wrong"

        def build(self, state):
            return network()

    with pytest.raises(PluginError, match="model 'wrong': `build` returns a Sequential, not a Model"):
        load(Wrong(Wrong.Options()), "random", seed=0, device="cpu", dtype="float32")


def test_a_builder_that_fails_is_named_with_its_cause_in_one_line():
    class Failing(ModelBuilder):
        name = "failing"

        def build(self, state):
            raise ValueError("width\nand more")

    with pytest.raises(PluginError, match=r"model 'failing': build\(\) failed: ValueError: width") as caught:
        blank(Failing(Failing.Options()))
    assert "\n" not in str(caught.value)
