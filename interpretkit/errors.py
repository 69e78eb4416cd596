"""One small tree of errors; each knows its exit code, its place and the next thing to do.

Exit codes: 1 a check found a difference, 2 usage or recipe, 3 plugin or environment, 4 weights or images,
5 a step failed, 6 disk or file system, 130 interrupted.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_FAULTS = 20
"""How many faults are told; of more, their number is."""

_PLACE = re.compile(r"(.*?)(?::| #)([0-9]+)(?::([0-9]+))?")
_WORD = re.compile(r"\w+")
_SHORTEST = 3
_MOST_EDITS = 2
_LEAST_ALIKE = 0.5

_LAST_BESIDE = {0: 0, 1: 2}
"""The last rank that is worth telling beside the best: where that is beyond doubt, two typing errors are not."""


class InterpretkitWarning(UserWarning):
    """What a reader of a result must know, said where Python says such things; a run keeps it as an alert."""


class InterpretkitError(Exception):
    """Anything that interpretkit refuses or could not do.

    Args:
        message: What is wrong, in one line.
        where: The place: `file:line:column`, `--set #2`, a layer and its shape, a plugin and its version.
        hint: What to do next, in one line.
        subject: The word that is at fault, or the list of words: who knows the recipe finds the place by it.

    Example:
        >>> print(RecipeError("unknown key 'stepz'", where="recipe.yaml:3:1", hint="did you mean 'steps'?"))
        recipe.yaml:3:1: unknown key 'stepz' (did you mean 'steps'?)
    """

    exit_code: int = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "", subject: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.subject = subject

    @property
    def faults(self) -> tuple[InterpretkitError, ...]:
        """What is wrong, one by one."""
        return (self,)

    def at(self, place: str) -> Self:
        """Return a copy that says this place, unless it has one already; cause and traceback are those of this error.

        Example:
            >>> error = StepError("no figures")
            >>> print(error.at("step 'cam'").at("another place"))
            step 'cam': no figures
        """
        return self._copy(where=self.where or place)

    def advised(self, hint: str) -> Self:
        """Return a copy with another hint; cause and traceback are those of this error."""
        return self._copy(hint=hint)

    def _copy(self, **changes: str) -> Self:
        # Not by calling the class: an error of a plugin's own may take other arguments.
        another = type(self).__new__(type(self), *self.args)
        another.__dict__.update(self.__dict__, **changes)
        another.__cause__ = self.__cause__
        return another.with_traceback(self.__traceback__)

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


class FaultsError(RecipeError):
    """Several faults of one recipe; its exit code is that of the first.

    Example:
        >>> first = InputError("no class 'tabbi'", where="recipe.yaml:9:20", hint="did you mean 'tabby'?")
        >>> print(FaultsError([first, RecipeError("unknown key 'stepz'", where="recipe.yaml:12:1")]))
        recipe.yaml:9:20: no class 'tabbi' (did you mean 'tabby'?)
        recipe.yaml:12:1: unknown key 'stepz'
    """

    def __init__(self, faults: Sequence[InterpretkitError]) -> None:
        lines = [str(fault) for fault in faults[:MOST_FAULTS]]
        if len(faults) > MOST_FAULTS:
            lines.append(f"and {len(faults) - MOST_FAULTS} more")
        super().__init__("\n".join(lines))
        self.exit_code = faults[0].exit_code
        self._faults = tuple(faults)
        self.args = (self._faults,)  # what copies are made from

    @property
    def faults(self) -> tuple[InterpretkitError, ...]:
        """What is wrong, in the order of the file."""
        return self._faults

    def at(self, place: str) -> Self:
        """Return a copy whose faults say this place, unless they have one already."""
        return type(self)([fault.at(place) for fault in self._faults])


class ToldError(InterpretkitError):
    """Nothing of its own: what it follows from is told already."""

    @property
    def faults(self) -> tuple[InterpretkitError, ...]:
        """Nothing."""
        return ()


class Faults:
    """Collects the faults of a recipe, so that all of them are told in one pass.

    Args:
        known: Faults that were found before.

    Example:
        >>> faults = Faults()
        >>> for key in ("stepz", "inptus"):
        ...     with faults.collect():
        ...         raise RecipeError(f"unknown key {key!r}")
        >>> len(faults.found)
        2
    """

    def __init__(self, known: Iterable[InterpretkitError] = ()) -> None:
        self.found = list(known)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep what is raised inside, and go on after it."""
        try:
            yield
        except InterpretkitError as error:
            self.found += error.faults

    def tell(self) -> None:
        """Raise what was found, each fault once and in the order of the file; nothing if nothing was.

        Raises:
            FaultsError: If there are several faults; one alone is raised itself.
        """
        if self.found:
            raise together(sorted({str(fault): fault for fault in self.found}.values(), key=_order))


def together(faults: Sequence[InterpretkitError]) -> InterpretkitError:
    """Return some faults, at least one, as one error: the only one itself."""
    return faults[0] if len(faults) == 1 else FaultsError(faults)


def _order(fault: InterpretkitError) -> tuple[bool, str, int, int]:
    """Sort by file, line and column; what the command line has put in (`--set #2`) comes last."""
    parts = _PLACE.fullmatch(fault.where)
    source, line, column = parts.groups() if parts else (fault.where, None, None)
    return source.startswith("-"), source, int(line or 0), int(column or 0)


@contextmanager
def located(place: str = "", *, doing: str = "", kind: type[InterpretkitError] = StepError) -> Iterator[None]:
    """Give the errors raised inside this place, unless they have one; turn a stranger's exception into one of ours.

    Args:
        place: The place.
        doing: What is tried, for what is said of a stranger's exception: `draw()` failed.
        kind: What a stranger's exception becomes; it stays the cause.

    Example:
        >>> with located("step 'cam'", doing="draw()"):
        ...     {}["stage4"]
        Traceback (most recent call last):
        interpretkit.errors.StepError: step 'cam': draw() failed: KeyError: 'stage4'
    """
    try:
        yield
    except InterpretkitError as error:
        placed = error.at(place)
        raise placed from placed.__cause__
    except (Exception, SystemExit) as error:
        what = f"{doing} failed: {cause(error)}" if doing else cause(error)
        raise kind(what, where=place) from error


def cause(error: BaseException) -> str:
    r"""Say in one line what a plugin, or a network of the user's own, has raised.

    Example:
        >>> cause(ValueError("no\ngood")), cause(ValueError())
        ('ValueError: no', 'ValueError')
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def nearest(name: str, candidates: Iterable[str], *, count: int = 3) -> list[str]:
    """Return up to `count` of the candidates that `name` may stand for, best first.

    Those that a typing error or two lead to; names with `name` among their words, and names among its words; only
    where there are none of these, those that look like it.

    Example:
        >>> nearest("grad-cma", ["grad_cam", "compare", "feature_grid"])
        ['grad_cam']
        >>> nearest("cat", ["tench", "tiger cat", "bearcat"]), nearest("tabby, tabby cat", ["tench", "tabby"])
        (['tiger cat'], ['tabby'])
    """
    wanted = _folded(name)
    folded = {candidate: _folded(candidate) for candidate in candidates}
    ranks = {each: rank for each, text in folded.items() if (rank := _rank(wanted, text)) is not None}
    best = min(ranks.values(), default=0)
    ranks = {each: rank for each, rank in ranks.items() if rank <= _LAST_BESIDE.get(best, rank)}
    alike = {each: SequenceMatcher(None, folded[each], wanted).ratio() for each in ranks or folded}
    chosen = ranks or [each for each, ratio in alike.items() if ratio >= _LEAST_ALIKE]
    order = sorted(chosen, key=lambda each: (alike[each], each), reverse=True)
    return sorted(order, key=lambda each: ranks.get(each, 0))[:count]


def _folded(name: str) -> str:
    """Return a name without what people do not tell apart: case, and what stands between its words."""
    return re.sub(r"[-_ ]", " ", name.casefold())


def _rank(wanted: str, candidate: str) -> int | None:
    """Return how likely a candidate is meant: 0 it is the same name, …, 4; None if they share nothing but letters."""
    edits = _edits(wanted, candidate)
    few = edits <= min(_MOST_EDITS, len(wanted) // 2)
    if few and edits <= 1:
        return edits
    if _among_words(wanted, candidate):
        return 2
    if few:
        return 3
    return 4 if _among_words(candidate, wanted) else None


def _among_words(part: str, whole: str) -> bool:
    """Tell whether the words of `part` stand side by side among those of `whole`; a short `part` says nothing."""
    if len(part) < _SHORTEST:
        return False
    return f" {' '.join(_WORD.findall(part))} " in f" {' '.join(_WORD.findall(whole))} "


def _edits(first: str, second: str) -> int:
    """Count the letters to put in, take out, change or swap with the next; what is too many is not counted on."""
    too_many = _MOST_EDITS + 1
    if abs(len(first) - len(second)) >= too_many:
        return too_many
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        earlier, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and other == first[i - 2]:
                edits = min(edits, earlier[j - 2] + 1)
            row.append(edits)
        if min(row) >= too_many:
            return too_many
    return row[-1]


def did_you_mean(name: str, candidates: Iterable[str], *, otherwise: str = "") -> str:
    """Return a hint that names the nearest candidates, or `otherwise` where nothing is near.

    Example:
        >>> did_you_mean("stpes", ["steps", "inputs"])
        "did you mean 'steps'?"
    """
    matches = nearest(name, candidates)
    return f"did you mean {' or '.join(repr(match) for match in matches)}?" if matches else otherwise
