"""Time integrated gradients on RepVGG-B0, interpretkit's step against captum called directly, and measure their memory.

    python benchmarks/integrated_gradients.py            # 50 steps
    python benchmarks/integrated_gradients.py --quick    # 8 steps, one run of each

Both sides explain the same image for the same class, in batches of several sizes; runs are interleaved, and the best
size of either side counts. What interpretkit makes besides (the shared forward pass, the scores of image and baseline,
tables) is in its time. Beside the median stands the least time: the better guide on a machine that others use too. Peak
memory is that of a process of its own for each size, beyond what the loaded network takes. Nothing is compared across
machines.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

import captum.attr
import numpy as np
import torch

import interpretkit as ik

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (2, 10, 50)
REPEATS = 5
TARGET = 7


def model() -> ik.Model:
    """Return RepVGG-B0 in training form, with seeded weights."""
    return ik.load_model("repvgg", variant="B0", seed=0)


def image() -> torch.Tensor:
    """Return a seeded random image `(1, 3, 224, 224)`."""
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def ours(network: ik.Model, given: torch.Tensor, steps: int, size: int) -> np.ndarray:
    """Return integrated gradients `(1, y, x)` as a step computes them."""
    options = {"steps": steps, "internal_batch_size": size, "target": TARGET}
    return ik.visualize(network, given, "integrated_gradients", **options).maps["input"].values


def captums(network: ik.Model, given: torch.Tensor, steps: int, size: int) -> np.ndarray:
    """Return integrated gradients `(1, y, x)` as captum computes them when it is called directly."""
    method = captum.attr.IntegratedGradients(network.module.eval())
    values = method.attribute(given, 0 * given, target=TARGET, n_steps=steps, internal_batch_size=size)
    return values.sum(1).detach().numpy()


SIDES = {"interpretkit": ours, "captum": captums}


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def megabytes() -> float:
    """Return the peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(side: str, steps: int, size: int) -> None:
    """Print the peak memory of one run, beyond the network and one forward pass of one image."""
    network, given = model(), image()
    with torch.no_grad():
        network.module.eval()(given)
    before = megabytes()
    SIDES[side](network, given, steps, size)
    print(f"{megabytes() - before:.0f}")


def peak(side: str, steps: int, size: int) -> float:
    """Return what `measure_memory` prints in a process of its own."""
    command = [sys.executable, __file__, "--memory", side, "--steps", str(steps), "--size", str(size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603 - this file


def main() -> None:
    """Time both sides and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="8 steps, one run of each")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--memory", choices=SIDES, help="print the peak memory of one run, and nothing else")
    parser.add_argument("--size", type=int, default=SIZES[0], help="with --memory: images per pass")
    given = parser.parse_args()
    if given.memory:
        measure_memory(given.memory, given.steps, given.size)
        return
    steps, repeats = (8, 1) if given.quick else (given.steps, REPEATS)
    # First of all: Linux counts what a process takes when it starts another towards the peak of that.
    memory = {(side, size): peak(side, steps, size) for size in SIZES for side in SIDES}
    network, picture = model(), image()
    first, second = (SIDES[side](network, picture, steps, 4) for side in SIDES)
    difference = float(np.abs(first - second).max() / np.abs(second).max())
    times: dict[tuple[str, int], list[float]] = {(side, size): [] for size in SIZES for side in SIDES}
    for _ in range(repeats):
        for (side, size), found in times.items():
            found.append(seconds(lambda side=side, size=size: SIDES[side](network, picture, steps, size)))

    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    print(f"{platform.machine()}, {cores} cores, {threads} threads; {steps} steps, median and least of {repeats} runs")
    print(f"greatest difference of both maps: {difference:.1e} of the greatest value")
    print(f"{'images per pass':>15}" + "".join(f"{side:>14}{'least':>10}{'memory':>10}" for side in SIDES))
    for size in SIZES:
        row = "".join(
            f"{median(times[side, size]):12.2f} s{min(times[side, size]):8.2f} s{memory[side, size]:7.0f} MB"
            for side in SIDES
        )
        print(f"{size:15}{row}")
    for name, middle in (("median", median), ("least", min)):
        best = {side: min(middle(times[side, size]) for size in SIZES) for side in SIDES}
        ratio = best["captum"] / best["interpretkit"]
        print(f"best {name}: {', '.join(f'{side} {best[side]:.2f} s' for side in SIDES)}: {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
