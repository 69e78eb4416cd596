from __future__ import annotations

import pytest
import torch

from interpretkit.capture.count import counted


def test_the_network_is_as_it_was_after_it_was_counted_even_if_it_fails():
    net, passes = torch.nn.Linear(2, 2), []
    expected = net(torch.ones(1, 2))
    with counted(net, lambda: passes.append(1) or 7):
        assert net(torch.ones(1, 2)).tolist() == expected.tolist()
    with pytest.raises(RuntimeError, match="shapes"), counted(net, lambda: passes.append(1)):
        net(torch.ones(1, 3))
    assert len(passes) == 1
    assert not net._forward_hooks
