from __future__ import annotations

import random
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
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


def test_generators_of_python_and_numpy_are_seeded_and_put_back():
    def drawn():
        return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002, S311

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = drawn()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    found = []
    for _ in range(2):
        with in_force(Numerics.parse({"seed": 5})):
            found.append(drawn())
    assert found[0] == found[1]
    assert drawn()[:2] == before[:2]


def test_an_autocast_around_a_call_changes_no_number():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = ik.visualize(net, images, "grad_cam", layers=["0"], target=1).maps["0"].values
    with torch.autocast("cpu", torch.bfloat16):
        found = ik.visualize(net, images, "grad_cam", layers=["0"], target=1).maps["0"].values
        assert torch.is_autocast_enabled("cpu")
    np.testing.assert_array_equal(found, expected)
