"""What no installation can be without: runs are carried out in this process, and exported as their report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Executor, Exporter


@hookimpl
def interpretkit_executors() -> Iterable[type[Executor]]:
    """Offer this process."""
    from interpretkit_standard.local import LocalExecutor

    yield LocalExecutor


@hookimpl
def interpretkit_exporters() -> Iterable[type[Exporter]]:
    """Offer the report."""
    from interpretkit_standard.html import HtmlExporter

    yield HtmlExporter
