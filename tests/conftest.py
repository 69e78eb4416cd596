from __future__ import annotations

import os
import shutil

import pytest

# Tiny nets gain nothing by threads, and lose much where several test runs share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
