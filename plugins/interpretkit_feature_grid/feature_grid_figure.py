"""The grid of a layer's channels, and the words beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from interpretkit import Figure, figures

if TYPE_CHECKING:
    import numpy as np

    from interpretkit import Result, Table

    Normalize = Literal["channel", "layer"] | list[float]

_ORDERS = {
    "index": "in order of index",
    "mean": "greatest mean first",
    "max": "greatest maximum first",
    "sparsity": "sparsest first",
    "contribution": "greatest contribution first, for or against",
}

_READABLE = 64
"""Up to so many tiles are large enough to be compared with the input, and to have room for a share."""


def draw(layer: str, chosen: np.ndarray, result: Result, *, order: str, normalize: Normalize) -> Figure:
    """Draw some channels of a layer as a grid; few of them beside the input.

    Args:
        layer: The layer.
        chosen: The channels to draw, in their order.
        result: Of one image.
        order: What the order is by.
        normalize: On what scale the colours are: each channel's own, the layer's, or from one number to another.
    """
    (image,) = result.images
    values = result.maps[layer].values[0]
    table = result.tables["channels"].where("layer", layer)
    surveyed = figures.survey(values)
    polarity = figures.polarity_of(values)
    by, total = _ORDERS[order], len(values)
    channels = figures.count(total, "channel")
    whole = f"all {channels}" if total > 1 else "its only channel"
    which = f"{len(chosen)} of {channels}" if len(chosen) < total else whole
    beside = len(chosen) <= _READABLE
    fixed = (normalize[0], normalize[1]) if isinstance(normalize, list) else None
    picture = figures.grid(
        values[chosen],
        title=f"{_subject(layer, chosen, which, result)}, {by}{_target(result)}",
        labels=_labels(table, chosen),
        scope="fixed" if isinstance(normalize, list) else normalize,
        polarity=polarity,
        limits=fixed or surveyed.limits,
        pixels=image.pixels if beside else None,
    )
    low, high = (figures.number(limit) for limit in surveyed.limits)
    extent = f"values from {low} to {high}"
    cells, scale = figures.shape(values.shape[1:]), _scale(normalize, polarity)
    caption = f"Feature maps of {layer}: {which} of {cells} cells, {by}, {scale}."
    if beside:
        caption += " The input stands before them, stretched to the size of a tile."
    caption += f" Of all {channels}: {extent}; {_counts(surveyed)}.{_contributed(table, result)}"
    strongest = int(chosen[surveyed.high[chosen].argmax()])
    what = f"Grid of feature maps of {layer} for {image.id}, {which}, {extent}; the strongest, channel {strongest}"
    return Figure(name=layer, picture=picture, caption=caption, alt=figures.alt(values[strongest], what=what))


def _subject(layer: str, chosen: np.ndarray, which: str, result: Result) -> str:
    (image,) = result.images
    subject = f"{layer} of {image.id}"
    whole = len(chosen) == len(result.maps[layer].values[0])
    return subject if whole else f"{subject}: {which}"


def _target(result: Result) -> str:
    return f"; target {result.targets[0]}" if result.targets else ""


def _labels(table: Table, chosen: np.ndarray) -> list[str]:
    """Return the number of each channel, and its share where that is known and there is room."""
    if "share" not in table.columns or len(chosen) > _READABLE:
        return [str(channel) for channel in chosen]
    shares = table["share"]
    return [f"{channel} {figures.percent(shares[channel], '+.1')}" for channel in chosen]


def _scale(normalize: Normalize, polarity: str) -> str:
    """Say on what scale the colours are."""
    if isinstance(normalize, list):
        low, high = (figures.number(limit) for limit in normalize)
        words = f"fixed limits {low} to {high}"
    else:
        words = "each channel on a scale of its own" if normalize == "channel" else "all on one scale"
    return f"{words}, symmetric about 0" if polarity == "signed" else words


def _counts(found: figures.Survey) -> str:
    counts = [f"{int(found.dead.sum())} dead", f"{int(found.flat.sum())} nearly constant"]
    broken = int(found.broken.sum())
    if broken:
        counts.append(f"{broken} with values that are not finite")
    return ", ".join(counts)


def _contributed(table: Table, result: Result) -> str:
    """Say what the contributions add up to, and how many channels are for and against the target."""
    if "contribution" not in table.columns:
        return ""
    given = table["contribution"]
    total = figures.number(given.sum())
    speaking, against = int((given > 0).sum()), int((given < 0).sum())
    channels = figures.count(speaking, "channel")
    return (
        f" Contributions to {result.targets[0]} add up to {total}: {channels} for it, {against} against it; "
        "shares are of the sum of their magnitudes."
    )
