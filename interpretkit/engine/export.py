"""A sealed run in another form: an exporter found by its id, and what it raises told as one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit.contracts.kinds import EXPORTER
from interpretkit.contracts.registry import discover
from interpretkit.engine.resolve import parse_options
from interpretkit.errors import PluginError, RecipeError, located
from interpretkit.runs.files import storage_errors
from interpretkit.runs.run import run_around

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.runs.run import Run


def export(
    run: Run, exporter: str, *, output: str | Path, plugins: Sequence[str | Path] = (), options: Mapping[str, Any]
) -> Path:
    """Write a run into the folder `output` by the exporter of this id, and return what a user opens.

    Raises:
        RecipeError: If there is no such exporter or option, or the folder is part of a run.
        PluginError: If the exporter fails, or a package that it needs is not installed.
        StorageError: If the run cannot be read, or the folder cannot be written.
    """
    found = discover(plugins).find(EXPORTER, exporter)
    writer = found.offer(parse_options(found.offer, options))
    folder = Path(output)
    around = run_around(folder)
    if around is not None:
        whose = "the run" if around == run.path.resolve() else f"the run {around.name}"
        raise RecipeError(f"{output} is part of {whose}, which is sealed", hint="give a folder outside of it")
    where = f"exporter {exporter} ({found.plugin})"
    with located(where, doing="export()", kind=PluginError), storage_errors("write", folder):
        written: object = writer.export(run, folder)
    if not isinstance(written, Path):
        raise PluginError(f"export() returned a {type(written).__name__}, not the path of what it wrote", where=where)
    return written
