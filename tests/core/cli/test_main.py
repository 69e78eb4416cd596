from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import interpretkit as ik
from interpretkit.runs.verify import verify

RECIPES = Path(__file__).parents[3] / "recipes"
RECIPE = Path(__file__).with_name("recipe.yaml").read_text()


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['interpretkit', '--help']\n"
        "from interpretkit.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'torch', 'torchvision', 'captum', 'matplotlib', 'numpy', 'PIL', 'pydantic'} & set(sys.modules)\n"
        "    print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    "words", [("validate", RECIPES / "repvgg_b0.yaml"), ("plugins",), ("show", "grad_cam"), ("show", "repvgg")]
)
def test_validate_plugins_and_show_do_not_load_torch(words):
    code = (
        f"import sys; sys.argv = {['interpretkit', *map(str, words)]!r}\n"
        "from interpretkit.__main__ import main\n"
        "main()\n"
        "heavy = {'torch', 'torchvision', 'captum', 'matplotlib', 'PIL', 'http.client'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_is_sealed_as_interrupted_with_what_is_finished(folder, number, code):
    text = RECIPE.replace("inputs: [", "inputs: [second.png, ").replace("sample:grace_hopper", "third.png")
    (folder / "recipe.yaml").write_text(f"{text}  - {{id: bad, uses: faulty, with: {{how: hang}}}}\n")
    from PIL import Image

    for name in ("second.png", "third.png"):
        Image.new("RGB", (40, 40)).save(folder / name)
    line = [sys.executable, "-m", "interpretkit", "run", "recipe.yaml", "--plugin", "plugin.py"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not (folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    opened = ik.open_run(out.strip())
    assert opened.status == "interrupted"
    statuses = {step.id: step.status for step in opened.record.steps}
    finished = ["features", "gradcam", "stats", "agreement"]
    assert statuses == {**dict.fromkeys(finished, "complete"), "bad": "interrupted"}
    assert all(step.figures for step in opened.record.steps if step.id in finished)
    assert opened.results["gradcam"].maps["conv"].values.shape == (2, 8, 8)
    assert verify(opened.path) == []


def test_output_into_a_closed_pipe_ends_quietly():
    shell = f"'{sys.executable}' -m interpretkit plugins | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, check=False)  # noqa: S607
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_output_is_written_in_any_encoding(command):
    environment = {**os.environ, "PYTHONIOENCODING": "cp1251"}
    listed = command("plugins", env=environment, encoding="cp1251")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "interpretkit_repvgg" in listed.stdout
    refused = command("layers", "na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve", env=environment, encoding="cp1251")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: unknown model 'na\\xefve'")


def test_without_docstrings_nothing_is_described_by_those_of_python():
    line = [sys.executable, "-OO", "-m", "interpretkit", "plugins"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "  visualizer grad_cam: no description (Python leaves them out with -OO)" in done.stdout.splitlines()
    assert "Helper class" not in done.stdout


def test_a_service_may_have_no_output():
    shell = f"'{sys.executable}' -m interpretkit plugins >&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)  # noqa: S607
    assert (done.returncode, done.stderr) == (0, "")
