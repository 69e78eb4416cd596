"""Time the grids of RepVGG-B0's five stages: interpretkit's against one matplotlib subplot for each channel.

    python benchmarks/grids.py            # all 1792 channels on both sides
    python benchmarks/grids.py --quick    # matplotlib draws 32 channels of each stage; its time is scaled up

Both sides turn the same seeded arrays into PNG bytes. Nothing is compared across machines: both times, and their ratio,
come from this run.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import figures

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = {
    "stage0": (64, 112, 112),
    "stage1": (64, 56, 56),
    "stage2": (128, 28, 28),
    "stage3": (256, 14, 14),
    "stage4": (1280, 7, 7),
}
COLUMNS = {"stage0": 8, "stage1": 8, "stage2": 16, "stage3": 16, "stage4": 40}
REPEATS = 5
QUICK = 32


def activations(shape: tuple[int, int, int], *, seed: int) -> np.ndarray:
    """Return half-normal channels `(channel, y, x)`; one in twenty is dead."""
    random = np.random.default_rng(seed)
    values = np.abs(random.standard_normal(shape, np.float32))
    values[random.random(shape[0]) < 1 / 20] = 0
    return values


def tiles(layer: str, values: np.ndarray) -> bytes:
    """Draw the grid of a layer as interpretkit does."""
    names = [str(channel) for channel in range(len(values))]
    picture = figures.grid(values, title=layer, labels=names, scope="channel", polarity="unsigned")
    return figures.png(picture)


def subplots(layer: str, values: np.ndarray) -> bytes:
    """Draw the grid of a layer as one matplotlib subplot for each channel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = COLUMNS[layer]
    rows = -(-len(values) // columns)
    figure = Figure(figsize=(columns * 0.5, rows * 0.6), dpi=100)
    canvas = FigureCanvasAgg(figure)
    for channel, (axes, each) in enumerate(
        zip(figure.subplots(rows, columns, squeeze=False).flat, values, strict=False)
    ):
        axes.imshow(each, cmap="viridis", interpolation="nearest")
        axes.set_title(str(channel), fontsize=6)
        axes.set_axis_off()
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Time both sides and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"let matplotlib draw {QUICK} channels of each stage only")
    quick = parser.parse_args().quick
    arrays = {layer: activations(shape, seed=index) for index, (layer, shape) in enumerate(STAGES.items())}
    tiles("warm-up", arrays["stage4"])
    subplots("stage0", arrays["stage4"][:2])

    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, median of {REPEATS} runs against one run")
    print(f"{'layer':8}{'channels':>9}{'tiles':>11}{'subplots':>11}{'PNG':>9}")
    ours = theirs = 0.0
    for layer, values in arrays.items():
        fast = median(seconds(lambda layer=layer, values=values: tiles(layer, values)) for _ in range(REPEATS))
        drawn = values[:QUICK] if quick else values
        slow = seconds(lambda layer=layer, drawn=drawn: subplots(layer, drawn)) * len(values) / len(drawn)
        size = len(tiles(layer, values))
        print(f"{layer:8}{len(values):9}{fast * 1e3:8.0f} ms{slow:9.2f} s{size / 1e3:6.0f} kB")
        ours, theirs = ours + fast, theirs + slow
    note = f" (scaled up from {QUICK} channels of each stage)" if quick else ""
    print(f"interpretkit {ours:.2f} s, matplotlib {theirs:.1f} s{note}: {theirs / ours:.0f} times as fast")


if __name__ == "__main__":
    main()
