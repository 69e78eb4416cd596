"""Errors as a shell shows them: a line for each fault, and with `--debug` what led to it."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interpretkit.errors import InterpretkitError


def told(error: InterpretkitError) -> str:
    """Return what is said of an error, a line for each of its faults.

    Example:
        >>> from interpretkit.errors import FaultsError, RecipeError
        >>> print(told(FaultsError([RecipeError("unknown key 'a'"), RecipeError("unknown key 'b'")])))
        error: unknown key 'a'
        error: unknown key 'b'
    """
    return "\n".join(f"error: {line}" for line in str(error).splitlines())


def show_tracebacks(error: Exception, *more: Exception) -> None:
    """Print where some errors come from, if the command was told to by `--debug`; of several faults, of each."""
    if "--debug" not in sys.argv:
        return
    for each in (error, *more):
        for fault in getattr(each, "faults", ()) or (each,):
            traceback.print_exception(fault)
