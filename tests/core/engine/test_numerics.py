from __future__ import annotations

import torch


def test_numerics_are_put_back_as_they_were(folder, run):
    torch.manual_seed(11)
    state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    run()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.utils.deterministic.fill_uninitialized_memory is True
    assert torch.get_default_dtype() == torch.float32
