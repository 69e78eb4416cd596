"""Runs in TensorBoard: pictures, numbers and histograms, a step of its axis for each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Exporter


@hookimpl
def interpretkit_exporters() -> Iterable[type[Exporter]]:
    """Offer the exporter."""
    from interpretkit_tensorboard.tensorboard import TensorBoardExporter

    yield TensorBoardExporter
