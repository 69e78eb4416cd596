"""Mean, spread, range, sparsity, distribution of every channel over a whole set of images: mergeable."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from interpretkit import Array, Layered, Needs, Reduction, Result, StepError, Table
from interpretkit_channel_stats import bins, charts, even_bins, moments
from interpretkit_channel_stats.even_bins import EvenBins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from interpretkit import Captured, Figure

_ORDER = ("layer", "channel", "mean", "std", "min", "max", "sparsity", "dead", "saturated", "between", "within")


class ChannelStats(Reduction):
    r"""Statistics of every channel over all images and positions, of every layer, and of every class.

    The moments are merged exactly, in float64, after Chan, Golub and LeVeque: for parts $a$, $b$ with counts $n$, means
    $m$ and sums of squared deviations $M$,

    $$M = M_a + M_b + (m_b - m_a)^2 \frac{n_a n_b}{n_a + n_b}$$

    so that the grouping into batches does not matter (except for rounding). `std` is that of the population
    ($\sqrt{M / n}$), `sparsity` the share of exact zeros. `dead` is a channel that is zero everywhere. `saturated` is
    the share of values that equal the channel's greatest, one of them left out (some value is always the greatest);
    0 where it is dead. With $n_i$ values of mean $m_i$ in image $i$,

    $$\mathrm{between} = \frac{1}{n} \sum_i n_i (m_i - m)^2, \qquad
      \mathrm{within} = \frac{1}{n} \sum_i \sum_p (x_{ip} - m_i)^2, \qquad
      \mathrm{between} + \mathrm{within} = \mathrm{std}^2$$

    tell images apart from positions. Values that are NaN or infinite are counted in `nonfinite` and enter nothing else.

    The table `channels` has one row for each layer and channel, `layers` one for each layer with its quantiles,
    `histogram` the counts in fixed bins. A quantile is off by at most 1/128 of its own magnitude; those of channels,
    unless values are counted for each channel, by at most 1/63 of the channel's range. `classes`, where
    images have labels, holds the mean of each channel over the images of each label.
    """

    name = "channel_stats"
    yields = "statistics"
    requires = "layers (image, channel, …); labels of the images for means by class"
    citations = {
        "chan1982updating": "the merging of moments",
        "masson2019ddsketch": "quantiles of bounded relative error from bins; "
        "here the bins are linear within each octave",
    }

    class Options(Layered):
        """Options of the channel statistics."""

        histograms: Literal["layer", "channel"] = Field(
            default="layer",
            description="what values are counted for: each layer as a whole, or each channel, which then has finer "
            "quantiles, and takes as many rows of the table as its values fill bins",
        )

    options: Options

    def needs(self) -> Needs:
        """Ask for the layers' outputs."""
        return Needs(activations=self.options.layers)

    def compute(self, captured: Captured) -> Result:
        """Return the tables of a batch.

        Raises:
            StepError: If a layer returns anything but `(image, channel, …)`.
        """
        labels = [None if image.label is None else str(image.label) for image in captured.images]
        by_channel = self.options.histograms == "channel"
        channels: list[Table] = []
        histograms: list[Table] = []
        spreads: dict[str, EvenBins] = {}
        means: moments.Means = {}
        for layer, values in captured.activations.items():
            images = [values_of(image) for image in _checked(layer, values)]
            of_images = [moments.of_image(image) for image in images]
            channels.append(_named(layer, moments.of_images(of_images)))
            histograms += [bins.histogram(layer, image, by_channel=by_channel) for image in images]
            means |= moments.class_means(layer, of_images, labels)
            if not by_channel:
                spreads[layer] = reduce(EvenBins.merged, map(EvenBins.of, images))
        layers = list(captured.activations)
        found = _result(Table.stacked(channels).columns, bins.joined(histograms, layers), means, layers)
        return replace(found, arrays=_packed(spreads))

    def merge(self, first: Result, second: Result) -> Result:
        """Return the tables of two parts of the set together."""
        one, other = first.tables["channels"], second.tables["channels"]
        layers = list(dict.fromkeys(one["layer"].tolist()))
        merged = moments.merged(one.columns, other.columns)
        columns = {"layer": one["layer"], "channel": one["channel"], **merged}
        histogram = bins.joined([first.tables["histogram"], second.tables["histogram"]], layers)
        means = moments.merged_means(_means(first), _means(second))
        spreads = {}
        for (layer, part), other_part in zip(_spreads(first).items(), _spreads(second).values(), strict=True):
            spreads[layer] = part.merged(other_part)
        return replace(_result(columns, histogram, means, layers), arrays=_packed(spreads))

    def finish(self, result: Result) -> Result:
        """Return the result with the quantiles of channels, and without the counts that these follow from."""
        spreads = _spreads(result)
        if not spreads:
            return result
        channels = result.tables["channels"]
        found = [each.quantiles(channels.where("layer", layer)["zeros"]) for layer, each in spreads.items()]
        quantiles = {name: np.concatenate([of_layer[name] for of_layer in found]) for name in even_bins.NAMES}
        return replace(
            result, arrays={}, tables={**result.tables, "channels": Table({**channels.columns, **quantiles})}
        )

    def draw(self, result: Result) -> Iterator[Figure]:
        """Draw a chart of the channels of each layer, if they are few, and how the layers differ over depth."""
        yield from charts.draw(result.tables)


def values_of(image: torch.Tensor) -> np.ndarray:
    """Return an image's values `(channel, …)` as `(channel, position)` in float64."""
    flat: np.ndarray = image.double().reshape(len(image), -1).numpy()
    return flat


def _checked(layer: str, values: torch.Tensor) -> torch.Tensor:
    if values.ndim < 2:  # noqa: PLR2004 - image and channel
        raise StepError(f"channel statistics need (image, channel, …); {layer} returns {values.ndim} dim(s)")
    return values.detach().cpu()


def _named(layer: str, columns: moments.Columns) -> Table:
    count = len(columns["count"])
    return Table({"layer": np.full(count, layer), "channel": np.arange(count), **columns})


def _packed(spreads: Mapping[str, EvenBins]) -> dict[str, Array]:
    return {layer: Array(values=each.counts, dims=("channel", "bin")) for layer, each in spreads.items()}


def _spreads(result: Result) -> dict[str, EvenBins]:
    """Return the histograms of the channels of each layer; their ranges are in the table."""
    spreads = {}
    for layer, counts in result.arrays.items():
        rows = result.tables["channels"].where("layer", layer)
        spreads[layer] = EvenBins(rows["min"], rows["max"], counts.values)
    return spreads


def _means(result: Result) -> moments.Means:
    return moments.classes_of(result.tables["classes"]) if "classes" in result.tables else {}


def _result(columns: Mapping[str, np.ndarray], histogram: Table, means: moments.Means, layers: Sequence[str]) -> Result:
    """Return all tables, with what follows from the sufficient statistics."""
    known = {**columns, **moments.derived(columns)}
    if "channel" in histogram.columns:
        known |= _quantiles_of_channels(known, histogram)
    ordered = dict.fromkeys((*_ORDER, *known))
    channels = Table({name: known[name] for name in ordered})
    tables = {"channels": channels, "layers": _layers(channels, histogram, layers), "histogram": histogram}
    if means:
        tables["classes"] = Table(moments.rows_of_classes(means, layers))
    return Result(tables=tables)


def _layers(channels: Table, histogram: Table, layers: Sequence[str]) -> Table:
    whole = histogram
    if "channel" in histogram.columns:
        about = {name: values for name, values in histogram.columns.items() if name != "channel"}
        whole = bins.joined([Table(about)], layers)
    rows: list[dict[str, Any]] = []
    for layer in layers:
        row = moments.of_layer(channels.where("layer", layer))
        counted = whole.where("layer", layer)
        quantiles = bins.quantiles(counted, least=row["min"], greatest=row["max"])
        rows.append({"layer": layer, **row, **quantiles})
    return Table.of_rows(rows)


def _quantiles_of_channels(columns: moments.Columns, histogram: Table) -> moments.Columns:
    """Return the quantiles of each channel, by name."""
    counted = _by_channel(histogram)
    nothing = slice(0)
    keys = zip(columns["layer"].tolist(), columns["channel"].tolist(), strict=True)
    rows = []
    for key, least, greatest in zip(keys, columns["min"], columns["max"], strict=True):
        place = counted.get(key, nothing)
        of_channel = Table({name: values[place] for name, values in histogram.columns.items()})
        rows.append(bins.quantiles(of_channel, least=least, greatest=greatest))
    return dict(Table.of_rows(rows).columns)


def _by_channel(histogram: Table) -> dict[tuple[str, int], slice]:
    """Return where in a histogram the rows of each layer and channel lie."""
    layers, channels = histogram["layer"], histogram["channel"]
    starts_run = np.ones(len(histogram), np.bool_)
    starts_run[1:] = layers[1:] != layers[:-1]
    starts_run[1:] |= channels[1:] != channels[:-1]
    starts = np.flatnonzero(starts_run).tolist()
    places = {}
    for start, end in pairwise([*starts, len(histogram)]):
        key = str(layers[start]), int(channels[start])
        places[key] = slice(start, end)
    return places
