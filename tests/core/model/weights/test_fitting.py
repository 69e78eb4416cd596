from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from interpretkit.errors import WeightsError
from interpretkit.model.weights.fitting import fitting, load_state, renamed, without_prefix


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def trained(fill=0.5):
    return {name: torch.full_like(tensor, fill) for name, tensor in network().state_dict().items()}


def test_weights_that_do_not_fit_are_counted_and_none_is_loaded(same):
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = {"0.weight": torch.ones(2, 1, 3, 3), "0.bias": torch.ones(3)}
    state |= {f"head.{number}": torch.ones(2, 5) for number in range(4)}
    with pytest.raises(WeightsError) as caught:
        load_state(module, state)
    assert caught.value.message == (
        "the weights do not fit: "
        "4 missing ('1.weight' 2, '1.bias' 2, '1.running_mean' 2, …), "
        "4 unexpected ('head.0' 2×5, 'head.1' 2×5, 'head.2' 2×5, …), "
        "1 of another shape ('0.bias' 3 instead of 2)"
    )
    assert same(module.state_dict(), before)


def test_only_the_counter_of_batch_normalisation_may_be_missing(same):
    module, state = network(), trained()
    del state["1.num_batches_tracked"]
    load_state(module, state)
    assert same({**module.state_dict(), "1.num_batches_tracked": torch.tensor(0)}, {**state, **_counter()})
    del state["1.running_var"]
    with pytest.raises(WeightsError, match=re.escape("fit: 1 missing ('1.running_var' 2)")):
        load_state(module, state)


def _counter():
    return {"1.num_batches_tracked": torch.tensor(0)}


def under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "backbone.", "net.0.encoder.", "module._orig_mod."]
)
def test_a_prefix_of_any_name_is_taken_off_and_what_is_outside_of_it_left_out(prefix, same):
    module = network()
    with fitting(strict=True) as fitted:
        load_state(module, under(prefix, trained()) | {"criterion.weight": torch.ones(3)})
    assert same(module.state_dict(), trained())
    assert (fitted.prefix, list(fitted.left_out), list(fitted.missing)) == (prefix, ["criterion.weight"], [])


def test_a_network_whose_own_names_share_a_first_part_is_loaded_as_it_is(same):
    module = nn.ModuleDict({"model": network()})
    state = under("model.", trained())
    load_state(module, state)
    assert same(module.state_dict(), state)
    load_state(module, under("module.", state))
    assert same(module.state_dict(), state)


def test_two_networks_that_fit_equally_well_are_not_chosen_from():
    with pytest.raises(WeightsError, match=r"under 'teacher.' and 'student.' \(say which: key: teacher\)"):
        load_state(network(), under("teacher.", trained()) | under("student.", trained()))


def test_the_prefix_under_which_most_fits_is_meant(same):
    module = network()
    few = dict(list(trained(2.0).items())[:2])
    with fitting(strict=True) as fitted:
        load_state(module, under("old.", few) | under("new.", trained()))
    assert same(module.state_dict(), trained())
    assert list(fitted.left_out) == ["old.0.weight", "old.0.bias"]


def test_counts_of_a_profiler_are_left_out_and_said(same):
    module = network()
    with fitting(strict=True) as fitted:
        load_state(module, trained() | {"total_ops": torch.ones(1), "0.total_params": torch.ones(1)})
    assert same(module.state_dict(), trained())
    assert list(fitted.left_out) == ["total_ops", "0.total_params"]


def test_without_strictness_what_is_missing_stays_and_what_is_extra_is_left_out():
    module = network()
    before = module[1].bias.detach().clone()
    state = trained() | {"head.weight": torch.ones(4)}
    del state["1.bias"]
    with fitting(strict=False) as fitted:
        load_state(module, state)
    assert (list(fitted.missing), list(fitted.left_out)) == (["1.bias"], ["head.weight"])
    assert torch.equal(module[1].bias, before)
    assert torch.equal(module[0].weight, state["0.weight"])
    with fitting(strict=False), pytest.raises(WeightsError, match="of another shape"):
        load_state(network(), state | {"0.bias": torch.ones(3)})
    with fitting(strict=False), pytest.raises(WeightsError, match="6 missing"):
        load_state(network(), {"something": torch.ones(3)})


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda state: state.pop("1.bias"), "strict: false leaves them as initialised"),
        (lambda state: state.update(extra=torch.ones(1)), "strict: false leaves them out"),
        (lambda state: state.update({"1.1.bias": state.pop("1.bias")}), "rename: {name in the file"),
        (lambda state: state.update({"0.bias": torch.ones(7)}), "'0' of the weights has 7 rows: set num_classes"),
        (lambda state: state.update({"0.bias": torch.ones(7), "1.bias": torch.tensor(1.0)}), "another architecture"),
    ],
)
def test_the_hint_says_what_is_likely(change, hint):
    state = trained()
    change(state)
    with pytest.raises(WeightsError) as caught:
        load_state(network(), state)
    assert hint in caught.value.hint


def test_the_head_of_a_checkpoint_is_renamed_as_it_is_told():
    state = {"fc.1.weight": torch.ones(2, 3), "fc.1.bias": torch.ones(2), "fc.10.bias": torch.ones(1)}
    assert list(renamed(state, {"fc.1": "fc"})) == ["fc.weight", "fc.bias", "fc.10.bias"]
    with pytest.raises(WeightsError, match=re.escape("no tensor of the weights is called 'head' or 'head.'…")):
        renamed(state, {"head": "fc"})
    with pytest.raises(WeightsError, match=re.escape("two tensors of the weights would be called 'fc.1.bias'")):
        renamed(state, {"fc.10": "fc.1"})


def test_names_that_are_translated_are_freed_of_their_prefix_first():
    def known(name):
        return name.startswith("old_")

    assert without_prefix({"net.old_a": 1, "net.old_b": 2, "loss": 3}, known) == {"old_a": 1, "old_b": 2}
    assert without_prefix({"old_a": 1, "b": 2}, known) == {"old_a": 1, "b": 2}
