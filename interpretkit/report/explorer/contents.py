"""What the explorer of a run holds: its images, the maps of each as numbers, and what was found and judged."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from PIL import Image

from interpretkit.errors import InterpretkitError
from interpretkit.report.explorer.blocks import block
from interpretkit.report.words import target_words
from interpretkit.results.axes import CHANNEL, spatial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpretkit.runs.records import ImageRecord, MapRecord, StepRecord
    from interpretkit.runs.run import Run

BYTES = 20_000_000
"""Maps of so many bytes are held, as text."""

STACKS = 20
"""So many images have their feature maps in it, channel by channel; the others have maps without channels."""

_PALETTES = ("viridis", "inferno", "coolwarm")
_QUALITY = 88
_CHECKS = ("fail", "warn")
_DIGITS = 4


@dataclass
class Contents:
    """What the explorer holds.

    Attributes:
        data: Everything but the arrays, as JSON has it.
        blocks: The arrays, as text; maps say which is theirs by its place.
        left_out: How many maps are not in it, since they would take too many bytes.
    """

    data: dict[str, Any]
    blocks: list[str] = field(default_factory=list)
    left_out: int = 0


def contents(run: Run) -> Contents:
    """Return what the explorer of a run holds: as many maps as it can, those of the most interesting images first.

    An image is interesting if a check did not pass, if it is not predicted as it is labelled, and if the model is
    unsure of it, in this order.

    Args:
        run: The run.
    """
    images = sorted(run.record.inputs, key=_interest(run))
    found = Contents(data={"run": {"id": run.record.id}, "palettes": {name: _palette(name) for name in _PALETTES}})
    found.data["images"] = [_image(run, image) for image in images]
    found.data["maps"] = list(_maps(run, [image.id for image in images], found))
    return found


def _interest(run: Run) -> Any:
    """Return what images are sorted by, the most interesting first; of equal ones in the order of the run."""
    worst = dict.fromkeys((image.id for image in run.record.inputs), 2)
    for step in run.record.steps:
        for verdict in step.verdicts:
            if verdict.image in worst and verdict.status in _CHECKS:
                worst[verdict.image] = min(worst[verdict.image], _CHECKS.index(verdict.status))
    return lambda image: (worst[image.id], not _is_disputed(image), _sureness(image))


def _is_disputed(image: ImageRecord) -> bool:
    firsts = [found[0] for found in image.predictions.values() if found]
    predicted = {first.label for first in firsts}
    labels = {text for first in firsts for text in (first.label, str(first.index))}
    return len(predicted) > 1 or (image.label is not None and bool(firsts) and image.label not in labels)


def _sureness(image: ImageRecord) -> float:
    known = [found[0].probability for found in image.predictions.values() if found]
    return min((each for each in known if each is not None), default=1.0)


def _image(run: Run, image: ImageRecord) -> dict[str, Any]:
    found = {}
    for key, predictions in image.predictions.items():
        first = predictions[0] if predictions else None
        if first is not None:
            found[key] = {"label": first.label, "probability": first.probability, "score": first.score}
    checks = [
        {"step": step.id, "check": verdict.check, "status": verdict.status, "text": verdict.text}
        for step in run.record.steps
        for verdict in step.verdicts
        if verdict.image == image.id and verdict.status in _CHECKS
    ]
    photos = {key: _photo(run, file) for key, file in image.pictures.items()}
    about = {"id": image.id, "label": image.label, "found": found, "disputed": _is_disputed(image)}
    return {**about, "checks": checks, "photos": photos}


def _palette(name: str) -> str:
    """Return the 256 colours of a palette, red, green and blue in turn, as base64."""
    colours = mpl.colormaps[name](np.arange(256))[:, :3]
    return base64.b64encode((255 * colours).round().astype(np.uint8).tobytes()).decode()


def _photo(run: Run, file: str) -> str:
    """Return a picture as a `data:` URI, as JPEG: it is looked at, and never measured."""
    try:
        picture = Image.open(io.BytesIO(run.read(file))).convert("RGB")
    except (InterpretkitError, OSError):
        return ""
    kept = io.BytesIO()
    picture.save(kept, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(kept.getvalue()).decode()}"


def _maps(run: Run, images: Sequence[str], found: Contents) -> Iterator[dict[str, Any]]:
    """Yield what is said of each map that is held, and put its block with the others; those without channels first."""
    wanted = list(_distinct(run))
    by_image: dict[str, list[tuple[StepRecord, MapRecord]]] = defaultdict(list)
    for step, each in wanted:
        by_image[str(each.image)].append((step, each))
    plain = [pair for image in images for pair in by_image[image] if CHANNEL not in pair[1].dims]
    stacks = [pair for image in images[:STACKS] for pair in by_image[image] if CHANNEL in pair[1].dims]
    places: dict[str, int] = {}
    total = 0
    for step, each in plain + stacks:
        if each.sha256 not in places:
            if total > BYTES:
                continue
            text = _block(run, step, each)
            if text is None:
                continue
            places[each.sha256] = len(found.blocks)
            found.blocks.append(text)
            total += len(text)
        yield _said(run, step, each, places[each.sha256])
    found.left_out = sum(each.sha256 not in places for _, each in wanted)


def _distinct(run: Run) -> Iterator[tuple[StepRecord, MapRecord]]:
    """Yield the maps that can be shown; those that a step has from another, as it had them, once."""
    had = set()
    for step in run.record.steps:
        for each in step.maps:
            of = (each.image, each.sha256)
            if _is_shown(each) and not (step.of and of in had):
                yield step, each
            had.add(of)


def _is_shown(each: MapRecord) -> bool:
    axes = [dim for dim in each.dims if dim in each.extent]
    # Of some channels of a layer, which are called otherwise, it is not known which they are.
    if CHANNEL in each.dims and each.key != each.layer:
        return False
    return each.image is not None and axes in (list(spatial(2)), list(spatial(3)))


def _block(run: Run, step: StepRecord, each: MapRecord) -> str | None:
    """Return a map of one image as text; None if its file is missing, or holds something else."""
    try:
        values = run.result(step.id, image=each.image).maps[each.key].values
    except InterpretkitError:
        return None
    if values.shape != each.shape:
        return None
    stack = values.reshape(_channels(each), *values.shape[-len(each.extent) :])
    return block(stack, _bits(each))


def _channels(each: MapRecord) -> int:
    return each.shape[each.dims.index(CHANNEL)] if CHANNEL in each.dims else 1


def _bits(each: MapRecord) -> Any:
    return 8 if CHANNEL in each.dims else 16


def _said(run: Run, step: StepRecord, each: MapRecord, place: int) -> dict[str, Any]:
    targets = step.targets.get(str(each.image), ())
    said = {
        "step": step.id,
        "model": step.model,
        "key": each.key,
        "image": each.image,
        "shape": [_channels(each), *each.shape[-len(each.extent) :]],
        "bits": _bits(each),
        "block": place,
        "stack": CHANNEL in each.dims,
        "signed": each.polarity == "signed",
        "rows": [_row(each, axis) for axis in each.extent],
        "target": target_words(targets) if targets else "",
    }
    if CHANNEL in each.dims:
        said["columns"] = _columns(run, each)
    return said


def _row(each: MapRecord, axis: str) -> list[float]:
    """Return where the cells of a map lie along an axis: the middle of the first, the step, and the axis' pixels."""
    pixels = each.extent[axis]
    step = pixels / each.shape[each.dims.index(axis)]
    first, step = each.spacing.get(axis, (step / 2, step))
    return [first, step, pixels]


def _columns(run: Run, each: MapRecord) -> dict[str, list[float | None]]:
    """Return numbers of each channel of a stack, as the tables of all steps have them for its image and layer."""
    found: dict[str, list[float | None]] = {}
    for step in run.record.steps:
        for record in step.tables:
            if not {"channel", "layer"} <= record.columns.keys():
                continue
            try:
                table = run.result(step.id, image=each.image if "image" in record.columns else None).tables[record.name]
            except InterpretkitError:
                continue
            rows = table.where("layer", each.layer)
            if len(rows) != _channels(each) or len(set(rows["channel"].tolist())) != len(rows):
                continue
            order = np.argsort(rows["channel"])
            for name in rows:
                if rows[name].dtype.kind == "f":
                    found[f"{step.id}.{name}"] = [_short(value) for value in rows[name][order].tolist()]
    return found


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
