"""What a recipe expects of the numbers of a run, and whether it is so."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpretkit import words
from interpretkit.errors import Faults, RecipeError, did_you_mean
from interpretkit.runs.records import ExpectationRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from interpretkit.recipe.entries import ExpectationEntry
    from interpretkit.recipe.recipe import Recipe
    from interpretkit.results.table import Table
    from interpretkit.runs.run import Run

_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


class Numbers(NamedTuple):
    """The numbers that an expectation is about.

    Attributes:
        values: The numbers, `(row,)`; NaN where one is not defined.
        noun: What each of them belongs to.
    """

    values: np.ndarray
    noun: str


def check_expectations(recipe: Recipe) -> None:
    """Check that what a recipe expects is of steps that there are; which numbers these leave, a run shows.

    Raises:
        RecipeError: If there is no such step; it tells all.
    """
    steps = {step.id for step in recipe.steps}
    faults = Faults()
    for entry in recipe.expect:
        with faults.collect():
            _split(entry, steps)
    faults.tell()


def met(entry: ExpectationEntry, run: Run) -> ExpectationRecord:
    """Return whether a run is as expected.

    Args:
        entry: What is expected.
        run: The run, with all its results.

    Raises:
        RecipeError: If the run has no such number.
    """
    steps = {step.id: step for step in run.record.steps}
    step, path = _split(entry, steps)
    found = steps[step]
    if found.error:
        return _record(entry, math.nan, f"step {step} has no result: it is {found.status}")
    numbers = _numbers(entry, run, step, path)
    defined = numbers.values[~np.isnan(numbers.values)]
    counted = words.count(len(defined), numbers.noun)
    if len(defined) < len(numbers.values):
        counted = f"{counted} of {len(numbers.values)}, the others having none"
    if not len(defined):
        return _record(entry, math.nan, f"no {numbers.noun} has such a number")
    figure = aggregated(defined, entry.aggregate)
    return _record(entry, figure, f"{entry.aggregate} {figure:.4g} of {counted}")


def unmeant(entry: ExpectationEntry, error: RecipeError) -> ExpectationRecord:
    """Return the record of an expectation of a number that there is not."""
    return _record(entry, math.nan, error.message)


def aggregated(values: np.ndarray, name: str) -> float:
    """Return the mean, median, minimum, maximum, or a percentile such as `p05` of some numbers `(row,)`.

    Example:
        >>> [aggregated(np.array([1.0, 2.0, 6.0]), name) for name in ("mean", "min", "p50")]
        [3.0, 1.0, 2.0]
    """
    if name.startswith("p"):
        return float(np.percentile(values, int(name[1:])))
    by_name: Mapping[str, Callable[[np.ndarray], float]] = {
        "mean": np.mean,
        "median": np.median,
        "min": np.min,
        "max": np.max,
    }
    return float(by_name[name](values))


def _record(entry: ExpectationEntry, figure: float, text: str) -> ExpectationRecord:
    passed = not math.isnan(figure) and _COMPARED[entry.comparison](figure, entry.limit)
    return ExpectationRecord.from_facts(
        name=entry.of, wanted=entry.wanted, figure=figure, limit=entry.limit, passed=passed, text=text
    )


def _split(entry: ExpectationEntry, steps: Iterable[str]) -> tuple[str, str]:
    """Return the step of an expectation, and what is asked of it; ids of steps may have dots in them."""
    known = list(steps)
    fitting = [step for step in known if entry.name.startswith(f"{step}.")]
    if not fitting:
        step = entry.name.split(".")[0]
        hint = did_you_mean(step, known, otherwise=f"there are {', '.join(known)}")
        raise RecipeError(f"expect: there is no step {step!r}", where=entry.place(), hint=hint)
    step = max(fitting, key=len)
    return step, entry.name.removeprefix(f"{step}.")


def _numbers(entry: ExpectationEntry, run: Run, step: str, path: str) -> Numbers:
    """Return the numbers of a column of a table, or the figures of a check."""
    tables = run.results[step].tables
    first, _, column = path.partition(".")
    if column and first in tables:
        return _column(entry, tables[first], column)
    holding = [name for name in tables if path in tables[name]]
    if len(holding) > 1:
        hint = f"say which: {', '.join(f'{step}.{name}.{path}' for name in holding)}"
        raise RecipeError(f"expect: several tables of step {step!r} have {path!r}", where=entry.place(), hint=hint)
    if holding:
        return _column(entry, tables[holding[0]], path)
    return _figures(entry, run, step, path)


def _column(entry: ExpectationEntry, table: Table, column: str) -> Numbers:
    if column not in table:
        hint = did_you_mean(column, table, otherwise=f"it has {', '.join(table)}")
        raise RecipeError(f"expect: the table has no column {column!r}", where=entry.place(), hint=hint)
    values = table[column]
    if values.dtype.kind not in "biuf":
        raise RecipeError(f"expect: column {column!r} has no numbers", where=entry.place())
    chosen = np.ones(len(values), np.bool_)
    for name, wanted in entry.rows.items():
        if name not in table:
            hint = did_you_mean(name, table, otherwise=f"it has {', '.join(table)}")
            raise RecipeError(f"expect: the table has no column {name!r}", where=entry.place(), hint=hint)
        texts = [str(each) for each in table[name].tolist()]
        if wanted not in texts:
            hint = did_you_mean(wanted, texts, otherwise=f"there are {words.listed(dict.fromkeys(texts), most=10)}")
            raise RecipeError(f"expect: no row has {name} {wanted!r}", where=entry.place(), hint=hint)
        chosen &= np.array([text == wanted for text in texts])
    return Numbers(values[chosen].astype(np.float64), "row")


def _figures(entry: ExpectationEntry, run: Run, step: str, check: str) -> Numbers:
    (record,) = [each for each in run.record.steps if each.id == step]
    verdicts = [verdict for verdict in record.verdicts if verdict.check == check]
    if not verdicts or entry.rows:
        checks = dict.fromkeys(verdict.check for verdict in record.verdicts)
        known = [*_columns(run.results[step].tables), *checks]
        hint = did_you_mean(check, known, otherwise=f"it has {words.listed(known, most=20)}" if known else "")
        raise RecipeError(f"expect: step {step!r} has no number {check!r}", where=entry.place(), hint=hint)
    figures = [math.nan if verdict.figure is None else verdict.figure for verdict in verdicts]
    return Numbers(np.array(figures, np.float64), "verdict")


def _columns(tables: Mapping[str, Table]) -> Sequence[str]:
    """Return the columns of numbers of some tables."""
    named = {name: None for table in tables.values() for name in table if table[name].dtype.kind in "biuf"}
    return list(named)
