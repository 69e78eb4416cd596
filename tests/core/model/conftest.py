from __future__ import annotations

import pytest
from torch import nn

from interpretkit.model.model import Model
from interpretkit.model.preprocessing import Preprocessing


@pytest.fixture
def model() -> Model:
    block = nn.Sequential()
    block.add_module("conv", nn.Conv2d(4, 4, 3, padding=1))
    block.add_module("act", nn.ReLU())
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(1, 4, 3, stride=2, padding=1))
    net.add_module("stage1", nn.Sequential(block, nn.Identity()))
    net.add_module("stage2", nn.Sequential(nn.MaxPool2d(2)))
    return Model(module=net, name="net", aliases={"first": "stage1.0.act"}, preprocessing=Preprocessing(crop=12))
