"""Matplotlib as pictures need it: loaded in any environment, and set as it comes, whatever its user prefers."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def matplotlib() -> Any:
    """Return matplotlib, also where `MPLBACKEND` names a backend that is not installed: nothing here opens a window.

    A notebook leaves the name of its own backend to every process that it starts, also to those of other environments.
    """
    loaded = "matplotlib" in sys.modules
    backend = None if loaded else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            mpl.rcParams["backend"] = backend
    return mpl


@contextmanager
def default_settings() -> Iterator[None]:
    """Put matplotlib's own defaults in force, then the user's again: a style, a matplotlibrc, `text.usetex`.

    Example:
        >>> import matplotlib as mpl
        >>> with mpl.rc_context({"font.size": 30}):
        ...     with default_settings():
        ...         print(mpl.rcParams["font.size"])
        ...     print(mpl.rcParams["font.size"])
        10.0
        30.0
    """
    mpl = matplotlib()
    # To set the backend would close the user's windows.
    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"}
    with mpl.rc_context(defaults):
        yield
