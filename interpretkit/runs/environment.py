"""What a run depends on beside its recipe: Python, the machine, versions of packages."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("interpretkit", "torch", "torchvision", "captum", "numpy", "pillow", "matplotlib", "safetensors")


def environment() -> dict[str, Any]:
    """Return what a run depends on beside its recipe: Python, the machine, and versions of packages by name.

    A package that is not installed has the version None. Nothing is imported to find out.

    Example:
        >>> found = environment()
        >>> sorted(found.keys() & {"python", "platform", "machine", "cpus", "interpretkit", "torch"})
        ['cpus', 'interpretkit', 'machine', 'platform', 'python', 'torch']
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        **{name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
