from __future__ import annotations

import pytest
import torch
from torch import nn


class Reused(nn.Module):
    """Calls one ReLU twice, writes in place, returns a tuple from one part, and never calls another."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.pair = Pair()
        self.unused = nn.Conv2d(3, 4, 1)
        self.aside = nn.Conv2d(4, 2, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        self.aside(x)
        y = self.norm(self.second(x))
        y += self.pair(x)[0]
        return self.head(self.drop(self.relu(y)).mean((2, 3)))


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * 0.5, x


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Reused().double()
