"""From a run directory to a report: one HTML file that needs nothing else, and without scripts is all pictures."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections import Counter
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from interpretkit.report import embedded
from interpretkit.report.explorer.contents import BYTES, STACKS, contents
from interpretkit.report.words import anchor, chance, facts, number, target_words, words
from interpretkit.runs.judged import agreements, tallies
from interpretkit.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.runs.records import FigureRecord, RunRecord
    from interpretkit.runs.run import Run

EMBEDDED_IMAGES = 20
"""The figures of so many images are embedded; those of the others stay files."""

EMBEDDED_BYTES = 48_000_000
"""Beyond so many bytes of figures, those of fewer images are embedded, of one at least."""

_STYLES = ("style.css", "explorer/explorer.css")
_PARTS = ("arrays", "colours", "state", "panels", "images", "channels", "actions")
_SCRIPTS = tuple(f"explorer/{name}.js" for name in _PARTS)

LISTED = 200
"""So many rows of a table, or images beyond the embedded ones, are listed."""


def render(run: Run) -> str:
    """Return the report of a run as the text of one self-contained HTML file.

    The same run gives the same text: what is volatile in its record is left out. Files that the record names and the
    directory lacks are reported as missing; nothing outside the directory is read.

    Args:
        run: The run, sealed or about to be; `files`, `volatile` and `seal` of its record are not read.

    Example:
        >>> from pathlib import Path
        >>> from interpretkit.runs.manifest import read_record
        >>> from interpretkit.runs.run import Run
        >>> manifest = {
        ...     "schema": "interpretkit-run/1", "name": "<demo>", "id": "0", "status": "interrupted",
        ...     "interpretkit": "0.1.0", "command": "interpretkit run demo.yaml",
        ...     "recipe": {"source": "demo.yaml", "sha256": "00"}, "alerts": [],
        ...     "models": {}, "inputs": [], "steps": [], "numerics": {}, "environment": {}, "files": {},
        ... }
        >>> nowhere = Path("nowhere")
        >>> html = render(Run(nowhere, manifest, read_record(manifest, where=nowhere)))
        >>> "<h1>&lt;demo&gt;" in html
        True
    """
    record = run.record
    environment = _environment()
    environment.globals.update(
        excerpt=partial(embedded.excerpt, run),
        href=partial(embedded.href, run),
        listed=LISTED,
        picture_of=partial(embedded.picture, run),
    )
    held = contents(run)
    # Ours alone: nothing from the run is part of either.
    style = Markup("\n".join(_source(name) for name in _STYLES))  # noqa: S704
    parts = "\n".join(_source(name) for name in _SCRIPTS)
    script = Markup(f"(() => {{\n'use strict';\n{parts}\n}})();")  # noqa: S704
    return environment.get_template("template.html.j2").render(
        run=record,
        models=record.models,
        agreements=agreements(record),
        alerts=_alerts_by_step(record),
        embedded=_embedded(run),
        tallies=tallies(record),
        verify=f"interpretkit verify {shlex.quote(record.id)}",
        explorer=held,
        explorer_data=_json(held.data),
        stacks=STACKS,
        megabytes=BYTES // 1_000_000,
        style=style,
        style_hash=_digest(style),
        script=script if held.data["maps"] else "",
        script_hash=_digest(script),
    )


def _source(name: str) -> str:
    return resources.files("interpretkit.report").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(data: Mapping[str, Any]) -> Markup:
    """Return data as JSON that ends no element, whatever is in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Nothing is left that could end the element.
    return Markup(text.translate({ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}))  # noqa: S704


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


def _alerts_by_step(run: RunRecord) -> dict[str, list[str]]:
    """Return for each step what it said, and the alerts about its model and about the steps that it reads."""
    by_model = {key: [model.alert] if model.alert else [] for key, model in run.models.items()}
    by_step: dict[str, list[str]] = {}
    for step in run.steps:
        read = [alert for of in step.of for alert in by_step.get(of, [])]
        by_step[step.id] = list(dict.fromkeys([*by_model.get(step.model, []), *step.alerts, *read]))
    return by_step


def _embedded(run: Run) -> set[str]:
    """Return the ids of the images whose figures are embedded: the first ones, as far as the limits allow."""
    sizes: Counter[str | None] = Counter()
    for step in run.record.steps:
        for figure in step.figures:
            sizes[figure.image] += run.size(figure.file) or 0
    chosen: set[str] = set()
    total = 0
    for image in run.record.inputs[:EMBEDDED_IMAGES]:
        total += sizes[image.id]
        if chosen and total > EMBEDDED_BYTES:
            break
        chosen.add(image.id)
    return chosen


def _by_image(figures: Sequence[FigureRecord]) -> dict[str | None, list[FigureRecord]]:
    """Return a step's figures by image, in the order of the run; those of the whole set under None."""
    groups: dict[str | None, list[FigureRecord]] = {}
    for figure in figures:
        groups.setdefault(figure.image, []).append(figure)
    return groups
