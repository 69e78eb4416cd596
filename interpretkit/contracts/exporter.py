"""What turns a run into something else."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from interpretkit.contracts.offer import Offer

if TYPE_CHECKING:
    from pathlib import Path

    from interpretkit.runs.run import Run


class Exporter(Offer):
    """Writes a sealed run in another form. Derive from it, give it a `name`, nested `Options` and `export`."""

    @abstractmethod
    def export(self, run: Run, folder: Path) -> Path:
        """Write the run into a folder, which may not be there yet, and return what a user opens.

        The run itself is read and never changed. A package that is needed and not installed is a `PluginError` that
        says how to install it.
        """
