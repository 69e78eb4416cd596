"""Whether every number of the shipped recipes is what it was at an earlier commit, array by array and table by table.

    python benchmarks/same_numbers.py REVISION [RECIPE...]

Runs each recipe twice, in a checkout of REVISION and in this one, with the same installed packages and without a
network. What is compared is read by safetensors and csv alone, so that no reader of ours stands between.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors import safe_open

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Compare the recipes and exit with 1 if any number differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("recipes", nargs="*", type=Path, default=sorted((ROOT / "recipes").glob("*.yaml")))
    arguments = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        git("worktree", "add", "--quiet", "--detach", str(before), arguments.revision)
        try:
            for recipe in arguments.recipes:
                then = numbers_of(run(before, recipe.resolve(), Path(folder) / "runs-before"))
                now = numbers_of(run(ROOT, recipe.resolve(), Path(folder) / "runs-now"))
                different += told(recipe.name, then, now)
        finally:
            git("worktree", "remove", "--force", str(before))
    sys.exit(1 if different else 0)


def git(*words: str) -> None:
    """Run git in this checkout."""
    subprocess.run(["git", "-C", str(ROOT), *words], check=True)  # noqa: S603, S607 - a benchmark starts what it measures


def run(checkout: Path, recipe: Path, output: Path) -> Path:
    """Carry out a recipe with the code of a checkout, and return the run directory."""
    path = os.pathsep.join([str(checkout), str(checkout / "plugins")])
    setting = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "interpretkit", "run", str(recipe), "-o", str(output)]
    done = subprocess.run(command, cwd=checkout, env=setting, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return Path(done.stdout.splitlines()[-1])


def numbers_of(run_directory: Path) -> dict[str, str]:
    """Return a hash of each array (dtype, shape, bytes) and of each column of each table of a run, by name."""
    found = {}
    for file in sorted((run_directory / "results").rglob("*.safetensors")):
        with safe_open(file, framework="numpy") as arrays:
            for key in arrays.keys():  # noqa: SIM118 - it is no mapping
                array = arrays.get_tensor(key)
                head = f"{array.dtype} {array.shape} ".encode()
                found[f"{file.parent.name}/{file.stem}: {key}"] = hashlib.sha256(head + array.tobytes()).hexdigest()
    for file in sorted((run_directory / "results").rglob("*.csv")):
        with file.open(encoding="utf-8", newline="") as lines:
            header, *rows = csv.reader(lines)
        for index, column in enumerate(header):
            text = "\n".join(row[index] for row in rows)
            found[f"{file.parent.name}/{file.stem}.csv: {column}"] = hashlib.sha256(text.encode()).hexdigest()
    return found


def told(recipe: str, then: dict[str, str], now: dict[str, str]) -> int:
    """Print how two runs of a recipe compare, and return how many of their numbers differ."""
    gone, new = sorted(then.keys() - now.keys()), sorted(now.keys() - then.keys())
    changed = sorted(name for name in then.keys() & now.keys() if then[name] != now[name])
    print(f"{recipe}: {len(then)} arrays and columns before, {len(now)} now, {len(changed)} changed")
    for word, names in (("gone", gone), ("new", new), ("changed", changed)):
        for name in names:
            print(f"  {word}: {name}")
    return len(gone) + len(new) + len(changed)


if __name__ == "__main__":
    main()
