from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

# Tiny nets gain nothing by threads, and lose much where several test runs share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def slowly_averaged():
    """Average a map over the cells of another grid, from points strewn evenly over the pixels.

    A grid is, for each axis, how many cells it has, the middle of the first in pixels, and the step to the next. Each
    point takes the value of the cell whose middle is nearest, and counts for the other grid's cells that hold it.
    """

    def counted(own, onto, pixels, samples):
        counts = np.zeros((onto[0], own[0]))
        middles, others = (first + step * np.arange(cells) for cells, first, step in (own, onto))
        for place in (np.arange(pixels * samples) + 0.5) / samples:
            nearest = np.abs(middles - place).argmin()
            counts[np.abs(others - place) < onto[2] / 2, nearest] += 1
        return counts / counts.sum(1, keepdims=True)

    def averaged(values, own, onto, size, *, samples=2):
        for axis in range(values.ndim):
            weights = counted(own[axis], onto[axis], size[axis], samples)
            values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
        return values

    return averaged


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; where there is none the test is skipped, but never on the CI."""
    problem = ""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        problem = "playwright is not installed"
    if executable is None:
        problem = "no chromium on the PATH"
    if problem and os.environ.get("CI") == "true":
        pytest.fail(f"the CI must look at pages in a browser, but {problem}")
    if problem:
        pytest.skip(problem)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()
