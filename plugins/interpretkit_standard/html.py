"""A run as its report: one page that opens by double click."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import interpretkit as ik

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"


class HtmlExporter(ik.Exporter):
    """The report, rendered anew, with the files that it links to: tables, arrays, figures beyond the embedded ones.

    The page needs none of them to be looked at, and can be sent on its own.
    """

    name = "html"

    def export(self, run: ik.Run, folder: Path) -> Path:
        """Write `report.html` and what it links to into a folder, and return the page."""
        page = ik.render(run)
        folder.mkdir(parents=True, exist_ok=True)
        for file in [*run.manifest["files"], MANIFEST]:
            if f'href="{quote(file)}"' in page:
                _write(folder / file, run.read(file))
        report = folder / "report.html"
        _write(report, page.encode())
        return report


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
