"""From a run directory to a report: one HTML file that needs nothing else, neither a network nor a script."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from interpretkit.digests import plain
from interpretkit.report.files import RunFiles
from interpretkit.report.words import anchor, chance, facts, number, target_words, words
from interpretkit.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EMBEDDED_IMAGES = 20
"""The figures of so many images are embedded; those of the others stay files."""

EMBEDDED_BYTES = 48_000_000
"""Beyond so many bytes of figures, those of fewer images are embedded, of one at least."""

LISTED = 200
"""So many rows of a table, or images beyond the embedded ones, are listed."""


def render(directory: Path, manifest: Mapping[str, Any]) -> str:
    """Return the report of a run as the text of one self-contained HTML file.

    The same directory and manifest give the same text: what is volatile in the manifest is left out. Files that the
    manifest names and the directory lacks are reported as missing; nothing outside the directory is read.

    Args:
        directory: The run directory, sealed or about to be.
        manifest: Its manifest; `files`, `volatile` and `seal` are not read.

    Raises:
        TypeError: If the manifest holds anything but data.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> manifest = {
        ...     "schema": "interpretkit-run/1", "name": "<demo>", "id": "0", "status": "interrupted",
        ...     "interpretkit": "0.1.0", "command": "interpretkit run demo.yaml",
        ...     "recipe": {"source": "demo.yaml", "sha256": "00"}, "alerts": [],
        ...     "models": {}, "inputs": [], "steps": [], "numerics": {}, "environment": {},
        ... }
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     html = render(Path(directory), manifest)
        >>> "<h1>&lt;demo&gt;" in html
        True
    """
    run = plain(manifest)
    files = RunFiles(directory)
    environment = _environment()
    environment.globals.update(files=files, listed=LISTED)
    style = environment.get_template("style.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("template.html.j2").render(
        run=run,
        models=run["models"],
        alerts=_alerts_by_step(run),
        embedded=_embedded(files, run),
        verify=f"interpretkit verify {shlex.quote(run['id'])}",
        style_hash=f"sha256-{digest}",
    )


def _environment() -> Environment:
    """Return the templates' environment: everything from the run is escaped, and a misspelt name is an error."""
    environment = Environment(
        loader=PackageLoader("interpretkit.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        anchor=anchor,
        by_image=_by_image,
        chance=chance,
        facts=facts,
        number=number,
        plural=plural,
        target_words=target_words,
        words=words,
    )
    return environment


def _alerts_by_step(run: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return for each step the alerts about its model and about the models of the steps that it reads."""
    by_model = {key: [model["alert"]] if model["alert"] else [] for key, model in run["models"].items()}
    by_step: dict[str, list[str]] = {}
    for step in run["steps"]:
        read = [alert for of in step["of"] for alert in by_step.get(of, [])]
        by_step[step["id"]] = list(dict.fromkeys([*by_model.get(step["model"], []), *read]))
    return by_step


def _embedded(files: RunFiles, run: Mapping[str, Any]) -> set[str]:
    """Return the ids of the images whose figures are embedded: the first ones, as far as the limits allow."""
    sizes: Counter[str] = Counter()
    for step in run["steps"]:
        for figure in step["figures"]:
            sizes[figure["image"]] += files.size(figure["file"])
    chosen: set[str] = set()
    total = 0
    for image in run["inputs"][:EMBEDDED_IMAGES]:
        total += sizes[image["id"]]
        if chosen and total > EMBEDDED_BYTES:
            break
        chosen.add(image["id"])
    return chosen


def _by_image(figures: list[dict[str, Any]]) -> dict[str | None, list[dict[str, Any]]]:
    """Return a step's figures by image, in the order of the run; those of the whole set under None."""
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for figure in figures:
        groups.setdefault(figure["image"], []).append(figure)
    return groups
