from __future__ import annotations

import pytest
import torch
from torch import nn

from interpretkit.capture.reading import read_at
from interpretkit.errors import StepError


def test_a_layer_is_read_before_what_works_in_place_and_after_what_replaces_it():
    net = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    with read_at(net, "0") as read:
        handle = net[0].register_forward_hook(lambda *_: torch.tensor([-5.0]))
        assert read(net(torch.tensor([1.0]))).tolist() == [-5.0]
        handle.remove()
        assert read(net(torch.tensor([-1.0]))).tolist() == [-1.0]
    assert not net[0]._forward_hooks
    assert not net[0]._forward_pre_hooks


def test_gradients_go_through_what_is_read():
    net = nn.Sequential(nn.Identity(), nn.Sigmoid())
    leaf = torch.tensor([3.0], requires_grad=True)
    with read_at(net, "0") as read:
        (gradient,) = torch.autograd.grad(read(net(leaf)).sum(), leaf)
    assert gradient.tolist() == [1.0]


def test_a_pass_that_does_not_call_the_layer_is_refused():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Identity()

        def forward(self, images):
            return images

    net = Idle()
    with read_at(net, "unused") as read, pytest.raises(StepError, match="layer unused was not called in this pass"):
        read(net(torch.ones(1)))
