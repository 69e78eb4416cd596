"""Time what the default checks add to a run: the whole command of the quickstart, with and without them, in turn.

    python benchmarks/checks.py                                # recipes/quickstart.yaml, five times each
    python benchmarks/checks.py RECIPE --repeats 3

Nothing is compared across machines: both times, and their ratio, come from this run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]


def seconds(recipe: str, checks: str, folder: str) -> float:
    """Return how long the command takes, start of the interpreter included."""
    # What is expected of checks cannot be told without them.
    settings = ["--set", f"checks={checks}", "--set", "expect=[]"]
    command = [sys.executable, "-m", "interpretkit", "run", recipe, *settings, "-o", folder]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
    return time.perf_counter() - began


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default=str(ROOT / "recipes" / "quickstart.yaml"))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {"none": [], "default": [], "all": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.repeats):
            for checks, found in times.items():
                found.append(seconds(arguments.recipe, checks, folder))
    without = median(times["none"])
    for checks, found in times.items():
        print(f"checks: {checks:8} {median(found):6.2f} s   {median(found) / without:5.2f} ×")


if __name__ == "__main__":
    main()
