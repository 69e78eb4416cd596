from __future__ import annotations

import pytest
import torch


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


@pytest.fixture(name="same")
def _same():
    return same
