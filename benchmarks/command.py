"""Time the whole command, each run a fresh process, beside the imports that it cannot do without.

python benchmarks/command.py [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "repvgg_b0.yaml"


def seconds(line: list[str]) -> float:
    """Return how long a process takes."""
    began = time.perf_counter()
    subprocess.run(line, check=True, capture_output=True)  # noqa: S603 - lines of this script
    return time.perf_counter() - began


def main() -> None:
    """Run the lines in turn, so that a slow spell of the machine hits all of them; print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="how often each line is run, after one warm-up")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        interpretkit = [sys.executable, "-m", "interpretkit"]
        lines = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "interpretkit --help": [*interpretkit, "--help"],
            "import torch, torchvision": [sys.executable, "-c", "import torch, torchvision"],
            "interpretkit run repvgg_b0.yaml": [*interpretkit, "run", str(RECIPE), "-o", folder],
        }
        times: dict[str, list[float]] = {name: [] for name in lines}
        for count in range(runs + 1):
            for name, line in lines.items():
                spent = seconds(line)
                if count:
                    times[name].append(spent)
    for name, values in times.items():
        print(f"{name:33} median {statistics.median(values):6.3f} s  ({min(values):.3f} to {max(values):.3f})")
    pairs = zip(times["interpretkit run repvgg_b0.yaml"], times["import torch, torchvision"], strict=True)
    print(f"run / imports, pair by pair: median {statistics.median(a / b for a, b in pairs):.2f}")


if __name__ == "__main__":
    main()
