"""Measure where cells look: the centre of the gradient on the image, beside the two places that can be worked out.

    python benchmarks/where_cells_look.py

Small nets of three stages of stride 2 tell four shapes apart, at random places of noisy images of 32 × 32 pixels.
Each is measured untrained and trained, on images twice as large, in which inner cells see no border: how far the
gradient of cells of the last stage lies, on average, from the middle of their receptive field, and from the middle of
an even tiling. The nets differ in how strides are padded, in whether there are shortcuts, and in whether the coarse
stages are raised again and joined to finer ones: added to stage 1, as in a feature pyramid, or concatenated with all of
them down to the pixels, as in a U-Net. Where such ways meet, the middle is that of the finest way.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

import interpretkit as ik

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDE, LARGE, STEPS, CLASSES, WIDTH = 32, 64, 400, 4, 64


class Block(nn.Module):
    """Two convolutions, the first of stride 2; with a shortcut, or without."""

    def __init__(self, before: int, after: int, *, shortcut: bool, one_side: bool) -> None:
        super().__init__()
        self.fill = (0, 1, 0, 1) if one_side else (1, 1, 1, 1)
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, 2, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Conv2d(before, after, 1, 2, bias=False) if shortcut else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both ways."""
        values = self.second(self.first(functional.pad(x, self.fill)))
        if self.shortcut is not None:
            values = values + self.shortcut(x)
        return values.relu()


class Raised(nn.Module):
    """Stages of which each is raised to the size of the finer one before it, and joined to it, down to the `finest`."""

    def __init__(self, first: nn.Module, stages: Sequence[nn.Module], widths: Sequence[int], *, finest: int) -> None:
        super().__init__()
        self.first, self.stages, self.finest = first, nn.ModuleList(stages), finest
        self.beside = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in widths)
        self.joined = nn.ModuleList(
            nn.Sequential(nn.Conv2d(WIDTH if finest else 2 * WIDTH, WIDTH, 3, 1, 1), nn.ReLU()) for _ in widths
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values of the finest level `(image, channel, y, x)`."""
        levels = [self.first(x)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        values = self.beside[-1](levels[-1])
        for level in range(len(levels) - 2, self.finest - 1, -1):
            raised = functional.interpolate(values, scale_factor=2)
            beside = self.beside[level](levels[level])
            values = self.joined[level](raised + beside if self.finest else torch.cat([raised, beside], 1))
        return values


def network(finest: int | None = None, **kind: bool) -> nn.Sequential:
    """Return a net; its first part is the last stage, or all of them joined down to the `finest` level."""
    widths = [16, 32, 64, WIDTH]
    first = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU())
    stages = [Block(before, after, **kind) for before, after in pairwise(widths)]
    whole = nn.Sequential(first, *stages) if finest is None else Raised(first, stages, widths, finest=finest)
    return nn.Sequential(whole, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, CLASSES))


def images(count: int, generator: torch.Generator, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy images of a disk, a ring, a square and a cross, and which of them each is."""
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    places = torch.rand(count, 2, 1, 1, generator=generator) * (side - 14) + 7
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    down, across = (y - places[:, 0]).abs(), (x - places[:, 1]).abs()
    far, farthest, nearest = (down**2 + across**2).sqrt(), torch.maximum(down, across), torch.minimum(down, across)
    shapes = torch.stack([far < 6, (far < 6) & (far > 3), farthest < 5, (farthest < 6) & (nearest < 2)])  # noqa: PLR2004
    drawn = shapes[labels, torch.arange(count)].float()
    noise = torch.randn(count, side, side, generator=generator)
    return (drawn + 0.5 * noise)[:, None], labels


def offsets(net: nn.Sequential, seen: torch.Tensor) -> tuple[float, float]:
    """Return how far, in pixels, gradients of inner cells lie from their middles, and from those of an even tiling."""
    model = ik.wrap(net, output=ik.Classes())
    (row, _) = ik.visualize(model, seen[:1], "feature_grid", layers=["0"]).maps["0"].grid.rows
    seen = seen.clone().requires_grad_()
    cells = net[0](seen)
    found = []
    # Those of one cell of the last stage, which may see of it alike.
    count = max(row.cells // 8, 2)
    for cell in range((row.cells - count) // 2, (row.cells + count) // 2):
        (gradient,) = torch.autograd.grad(cells[:, :, cell, cell].pow(2).sum(), seen, retain_graph=True)
        along = gradient.abs().sum((0, 1))
        for dim in (0, 1):
            weights = along.sum(dim)
            centre = float((weights * (torch.arange(LARGE) + 0.5)).sum() / weights.sum())
            found.append((centre - row.first - cell * row.step, centre - (cell + 0.5) * LARGE / row.cells))
    of_fields, of_tiles = zip(*found, strict=True)
    return sum(of_fields) / len(found), sum(of_tiles) / len(found)


def train(net: nn.Sequential, generator: torch.Generator) -> float:
    """Train a net; return the share of new images that it tells right."""
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-2)
    net.train()
    for _ in range(STEPS):
        seen, labels = images(64, generator)
        loss = functional.cross_entropy(net(seen), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen, labels = images(256, generator)
    return float((net.eval()(seen).argmax(1) == labels).float().mean())


def main() -> None:
    """Print the offsets of each kind of net."""
    kinds = {
        "padded on both sides, no shortcuts": {"shortcut": False, "one_side": False},
        "padded on both sides, shortcuts": {"shortcut": True, "one_side": False},
        "padded on one side, no shortcuts": {"shortcut": False, "one_side": True},
        "padded on one side, shortcuts": {"shortcut": True, "one_side": True},
        "padded on both sides, a feature pyramid": {"shortcut": True, "one_side": False, "finest": 1},
        "padded on both sides, a U-Net": {"shortcut": True, "one_side": False, "finest": 0},
    }
    print(f"pixels from the middle of the receptive field, and of an even tiling; torch {torch.__version__}")
    for kind, options in kinds.items():
        for seed in (0, 1):
            torch.manual_seed(seed)
            generator = torch.Generator().manual_seed(seed)
            net = network(**options).eval()
            seen, _ = images(64, generator, LARGE)
            untrained = offsets(net, seen)
            right = train(net, generator)
            trained = offsets(net, seen)
            words = [f"{field:+.1f} and {tile:+.1f}" for field, tile in (untrained, trained)]
            print(f"{kind}, seed {seed}: untrained {words[0]}; trained {words[1]} ({100 * right:.0f} % right)")


if __name__ == "__main__":
    main()
