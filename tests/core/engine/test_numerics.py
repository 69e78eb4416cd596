from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from interpretkit.engine.numerics import describe, in_force
from interpretkit.model.model import Model
from interpretkit.recipe.entries import Numerics


def test_numerics_are_put_back_as_they_were(folder, run):
    torch.manual_seed(11)
    state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    run()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.utils.deterministic.fill_uninitialized_memory is True
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("fails", [False, True])
def test_numbers_are_those_of_the_seed_inside_and_the_callers_go_on_after(fails):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with suppress(ValueError), in_force(Numerics(seed=7)):
        assert torch.equal(torch.rand(3), expected)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cuda.matmul.allow_tf32
        if fails:
            raise ValueError
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_is_described_is_what_the_models_are_in():
    models = [Model(module=torch.nn.Linear(2, 2).to(dtype)) for dtype in (torch.float64, torch.bfloat16)]
    found = describe(Numerics(device="auto", dtype="float32", seed=3), models)
    assert (found["device"], found["dtype"], found["seed"]) == ("cpu", "bfloat16, float64", 3)
    assert found["threads"] == torch.get_num_threads()
