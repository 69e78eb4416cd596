"""What is known of each channel: sufficient statistics in float64 that merge exactly, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit import Table

Columns = dict[str, Any]


def of_image(values: np.ndarray) -> Columns:
    """Return the statistics of one image's `values` `(channel, position)`, float64, by channel."""
    finite = np.isfinite(values)
    count = finite.sum(1)
    kept = np.where(finite, values, 0.0)
    mean = kept.sum(1) / np.maximum(count, 1)
    deviations = values - mean[:, None]
    if not finite.all():
        deviations = np.where(finite, deviations, 0.0)
    greatest = np.where(finite, values, -np.inf).max(1, initial=-np.inf)
    return {
        "count": count,
        "mean": mean,
        "squares": np.einsum("cp,cp->c", deviations, deviations),
        "min": np.where(finite, values, np.inf).min(1, initial=np.inf),
        "max": greatest,
        "maxima": (finite & (values == greatest[:, None])).sum(1),
        "zeros": (values == 0).sum(1),
        "nonfinite": values.shape[1] - count,
    }


def of_images(images: Sequence[Columns]) -> Columns:
    """Return the statistics of several images together, from those of each."""
    stacked = {}
    for name in images[0]:
        stacked[name] = np.stack([image[name] for image in images])
    counts, means = stacked["count"], stacked["mean"]
    count, greatest = counts.sum(0), stacked["max"].max(0)
    some = np.maximum(count, 1)
    mean = (counts * means).sum(0) / some
    between = (counts * (means - mean) ** 2).sum(0)
    within = stacked["squares"].sum(0)
    reached = stacked["max"] == greatest
    return {
        "count": count,
        "images": (counts > 0).sum(0),
        "mean": mean,
        "squares": within + between,
        "within": within / some,
        "between": between / some,
        "min": stacked["min"].min(0),
        "max": greatest,
        "maxima": np.where(reached, stacked["maxima"], 0).sum(0),
        "zeros": stacked["zeros"].sum(0),
        "nonfinite": stacked["nonfinite"].sum(0),
    }


def merged(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Columns:
    """Return the statistics of two parts of the set together."""
    one, other = first["count"], second["count"]
    count = one + other
    some = np.maximum(count, 1)
    step = second["mean"] - first["mean"]
    apart = step**2 * (one * other / some)
    greatest = np.maximum(first["max"], second["max"])
    maxima = np.where(first["max"] == greatest, first["maxima"], 0)
    maxima = maxima + np.where(second["max"] == greatest, second["maxima"], 0)
    within = first["within"] * one + second["within"] * other
    between = first["between"] * one + second["between"] * other + apart
    return {
        "count": count,
        "images": first["images"] + second["images"],
        "mean": first["mean"] + step * other / some,
        "squares": first["squares"] + second["squares"] + apart,
        "within": within / some,
        "between": between / some,
        "min": np.minimum(first["min"], second["min"]),
        "max": greatest,
        "maxima": maxima,
        "zeros": first["zeros"] + second["zeros"],
        "nonfinite": first["nonfinite"] + second["nonfinite"],
    }


def derived(moments: Mapping[str, np.ndarray]) -> Columns:
    """Return what follows from the statistics."""
    count = np.maximum(moments["count"], 1)
    dead = (moments["min"] == 0) & (moments["max"] == 0)
    # Some value is always the greatest; only others that equal it tell of a bound.
    others = np.maximum(moments["maxima"] - 1, 0)
    return {
        "std": np.sqrt(moments["squares"] / count),
        "sparsity": moments["zeros"] / count,
        "dead": dead,
        "saturated": np.where(dead, 0, others) / count,
    }


def of_layer(channels: Table) -> dict[str, Any]:
    """Return what a whole layer amounts to, from its rows of the table `channels`."""
    count = channels["count"]
    some = max(int(count.sum()), 1)
    mean = float((count * channels["mean"]).sum() / some)
    apart = (channels["mean"] - mean) ** 2
    squares = channels["squares"].sum() + (count * apart).sum()
    between = (count * channels["between"]).sum()
    within = (count * channels["within"]).sum()
    spread = float(between + within)
    return {
        "channels": len(channels),
        "count": int(count.sum()),
        "mean": mean,
        "std": float(np.sqrt(squares / some)),
        "min": float(channels["min"].min()),
        "max": float(channels["max"].max()),
        "sparsity": float(channels["zeros"].sum() / some),
        "dead": float(channels["dead"].mean()),
        "saturated": float((count * channels["saturated"]).sum() / some),
        "between": float(between / spread) if spread > 0 else np.nan,
    }


Means = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]
"""Means and numbers of values by channel, of the images of each class, by layer and class."""


def class_means(layer: str, images: Sequence[Columns], labels: Sequence[str | None]) -> Means:
    """Return the means of a layer's channels over the images of each label."""
    means: Means = {}
    for image, label in zip(images, labels, strict=True):
        if label is not None:
            means = merged_means(means, {(layer, label): (image["mean"], image["count"])})
    return means


def merged_means(first: Means, second: Means) -> Means:
    """Return the means of two parts of the set together."""
    both = {**second, **first}
    for key in first.keys() & second.keys():
        mean, one = first[key]
        other_mean, other = second[key]
        count = one + other
        step = (other_mean - mean) * other / np.maximum(count, 1)
        both[key] = (mean + step, count)
    return both


def rows_of_classes(means: Means, layers: Sequence[str]) -> Columns:
    """Return the columns of the table `classes`, in the order of the layers and of the classes' names."""
    keys = sorted(means, key=lambda key: (layers.index(key[0]), key[1]))
    sizes = [len(means[key][0]) for key in keys]
    return {
        "layer": np.repeat([layer for layer, _ in keys], sizes),
        "class": np.repeat([label for _, label in keys], sizes),
        "channel": np.concatenate([np.arange(size) for size in sizes]),
        "mean": np.concatenate([means[key][0] for key in keys]),
        "count": np.concatenate([means[key][1] for key in keys]),
    }


def classes_of(table: Table) -> Means:
    """Return the means that a table `classes` holds."""
    starts = np.flatnonzero(table["channel"] == 0)
    ends = [*starts[1:], len(table)]
    means: Means = {}
    for start, end in zip(starts, ends, strict=True):
        key = str(table["layer"][start]), str(table["class"][start])
        means[key] = table["mean"][start:end], table["count"][start:end]
    return means
