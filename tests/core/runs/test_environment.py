from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from interpretkit.runs.environment import environment


def test_the_environment_names_versions_and_imports_nothing():
    assert environment()["torch"] == version("torch")
    assert environment()["python"] == ".".join(map(str, sys.version_info[:3]))
    script = (
        "import sys; from interpretkit.runs.environment import environment; "
        "environment(); print({'torch', 'captum'} & sys.modules.keys())"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "set()"
