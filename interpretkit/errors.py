"""One small tree of errors; each knows its exit code, its place and the next thing to do.

Exit codes: 1 a check found a difference, 2 usage or recipe, 3 plugin or environment, 4 weights or images,
5 a step failed, 6 disk or file system, 130 interrupted.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class InterpretkitError(Exception):
    """Anything that interpretkit refuses or could not do.

    Args:
        message: What is wrong, in one line.
        where: The place: `file:line:column`, `--set #2`, a layer and its shape, a plugin and its version.
        hint: What to do next, in one line.

    Example:
        >>> print(RecipeError("unknown key 'stepz'", where="recipe.yaml:3:1", hint="did you mean 'steps'?"))
        recipe.yaml:3:1: unknown key 'stepz' (did you mean 'steps'?)
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{advice}"


class CheckError(InterpretkitError):
    """A check, `verify` or `diff` found a difference."""

    exit_code = 1


class RecipeError(InterpretkitError):
    """A recipe, an option or a command line that cannot be understood."""

    exit_code = 2


class PluginError(InterpretkitError):
    """A plugin that is missing, broken or breaks its contract at loading; or an unfit environment."""

    exit_code = 3


class WeightsError(InterpretkitError):
    """Weights that cannot be read, or do not fit the model."""

    exit_code = 4


class InputError(InterpretkitError):
    """An image that cannot be read, or a target that the model does not have."""

    exit_code = 4


class StepError(InterpretkitError):
    """A step of a recipe that failed while it ran."""

    exit_code = 5


class StorageError(InterpretkitError):
    """A disk or file system that refuses."""

    exit_code = 6


def cause(error: BaseException) -> str:
    r"""Say in one line what a plugin, or a network of the user's own, has raised.

    Example:
        >>> cause(ValueError("no\ngood")), cause(ValueError())
        ('ValueError: no', 'ValueError')
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def nearest(name: str, candidates: Iterable[str], *, count: int = 3) -> list[str]:
    """Return up to `count` of the candidates that look most like `name`, best first.

    Example:
        >>> nearest("grad-cma", ["grad_cam", "compare", "feature_grid"])
        ['grad_cam']
    """
    folded = {candidate.casefold(): candidate for candidate in candidates}
    return [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=0.5)]


def did_you_mean(name: str, candidates: Iterable[str], *, otherwise: str = "") -> str:
    """Return a hint that names the nearest candidates, or `otherwise` where nothing is near.

    Example:
        >>> did_you_mean("stpes", ["steps", "inputs"])
        "did you mean 'steps'?"
    """
    matches = nearest(name, candidates)
    return f"did you mean {' or '.join(repr(match) for match in matches)}?" if matches else otherwise
