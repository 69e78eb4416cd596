from __future__ import annotations

import pytest
import torch

from interpretkit.capture.count import counted


def test_the_network_is_as_it_was_after_it_was_counted_even_if_it_fails():
    net, passes = torch.nn.Linear(2, 2), []
    expected = net(torch.ones(1, 2))
    with counted(net, lambda images: passes.append(images) or 7):
        assert net(torch.ones(1, 2)).tolist() == expected.tolist()
    with pytest.raises(RuntimeError, match="shapes"), counted(net, passes.append):
        net(torch.ones(1, 3))
    assert passes == [1]
    assert not net._forward_hooks


@pytest.mark.parametrize(("returned", "images"), [("row", 5), ("number", 1), ("several", 1)])
def test_the_images_of_a_pass_are_the_rows_of_what_it_returned(returned, images):
    class Net(torch.nn.Module):
        def forward(self, x):
            return {"row": {"main": x}, "number": x.sum(), "several": (x, x)}[returned]

    passes = []
    net = Net()
    with counted(net, passes.append):
        net(torch.ones(5, 2))
    assert passes == [images]
