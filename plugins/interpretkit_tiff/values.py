"""What is done to the values of a page until whoever looks at them sees what the file means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import interpretkit as ik

_TURNS = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: values[::-1].swapaxes(0, 1),
    7: lambda values: values[::-1, ::-1].swapaxes(0, 1),
    8: lambda values: values[:, ::-1].swapaxes(0, 1),
}
"""How an image is turned upright whose orientation is not 1."""


def of_bands(values: np.ndarray, *, bits: int) -> ik.Stored:
    """Return values `(y, x, channel)` with the range of their bits, where these fill no whole numbers of bytes.

    Example:
        >>> of_bands(np.zeros((4, 3, 1), np.uint16), bits=12).range
        (0, 4095)
    """
    alone = values.shape[-1] == 1
    stored = ik.Stored(
        values=values[..., 0] if alone else values,
        axes=("y", "x") if alone else ("y", "x", "channel"),
    )
    if values.dtype.kind == "u" and bits < 8 * values.dtype.itemsize:
        return replace(stored, range=(0, 2**bits - 1), said_by=f"{bits} bits stored")
    return stored


def of_palette(numbers: np.ndarray, colours: np.ndarray) -> ik.Stored:
    """Return the colours `(channel, number)`, of 16 bits, that the values `(y, x)` are the numbers of.

    Example:
        >>> of_palette(np.array([[1, 0]]), np.uint16([[7, 8], [0, 0], [0, 0]])).values[..., 0].tolist()
        [[8, 7]]
    """
    values = np.moveaxis(colours[:, numbers], 0, -1)
    return ik.Stored(
        values=np.ascontiguousarray(values),
        axes=("y", "x", "channel"),
        range=(0, 65535),
        said_by="palette of 16 bits",
        conversions=("palette to RGB",),
    )


def without_gaps(stored: ik.Stored, nodata: str) -> ik.Stored:
    """Return values of which none is the one that the file calls no data, as GDAL writes it down.

    Raises:
        InputError: If there are no others.

    Example:
        >>> without_gaps(ik.Stored(values=np.float32([[-9999, 2, 5]])), "-9999").values.tolist()
        [[2.0, 2.0, 5.0]]
    """
    gaps = _are(stored.values, nodata)
    if not gaps.any():
        return stored
    if gaps.all():
        raise ik.InputError(f"holds no data: all values are {nodata}", hint="choose another page, or leave it out")
    fill = 0 if stored.values.dtype.kind == "u" else stored.values[~gaps].min()
    said = f"no data ({nodata}) set to {fill}"
    alert = f"{100 * gaps.mean():.2f} % of the values are no data"
    return replace(
        stored,
        values=np.where(gaps, stored.values.dtype.type(fill), stored.values),
        conversions=(*stored.conversions, said),
        alerts=(*stored.alerts, alert),
    )


def _are(values: np.ndarray, nodata: str) -> np.ndarray:
    """Return which values are a number that is written down; none where it is no number that they can hold."""
    nothing = np.zeros(values.shape, bool)
    try:
        number = float(nodata.strip(" \0"))
    except ValueError:
        return nothing
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.isnan(values) if np.isnan(number) else np.asarray(values == values.dtype.type(number))
    if values.dtype.kind == "b" or not number.is_integer():
        return nothing
    known = np.iinfo(values.dtype)
    return np.asarray(values == int(number)) if known.min <= number <= known.max else nothing


def inverted(stored: ik.Stored) -> ik.Stored:
    """Return values that are greater where it is lighter, of those that are zero where it is white.

    Floats have no greatest value to be taken from: they become negative, so that nothing is guessed.

    Example:
        >>> inverted(ik.Stored(values=np.uint8([[0, 255]]))).values.tolist()
        [[255, 0]]
    """
    values = stored.values
    if values.dtype.kind == "f":
        said = (*stored.conversions, "negated: its white is zero")
        return replace(stored, values=-values, mirrored=0, conversions=said)
    # The complement reverses the numbers that integers have, those of a sign too.
    known = np.iinfo(values.dtype)
    ends = known.min + known.max if stored.range is None else int(stored.range[1])
    turned = ~values if stored.range is None else values.dtype.type(ends) - values
    said = (*stored.conversions, "inverted: its white is zero")
    return replace(stored, values=turned, mirrored=ends, conversions=said)


def over_white(stored: ik.Stored, *, premultiplied: bool) -> ik.Stored:
    """Return bands over white, without their last, which is alpha; of signed numbers and floats white is not known.

    Example:
        >>> over_white(ik.Stored(values=np.uint8([[[0, 51]]]), axes=("y", "x", "channel")), premultiplied=False).values
        array([[204]], dtype=uint8)
    """
    values = stored.values
    if values.dtype.kind != "u":
        alert = "its last band is alpha, which is not applied: choose others by `bands:`"
        return replace(stored, alerts=(*stored.alerts, alert))
    most = stored.range[1] if stored.range else np.iinfo(values.dtype).max
    alpha = values[..., -1:].astype(np.float64) / most
    colours = values[..., :-1] * (1 if premultiplied else alpha) + most * (1 - alpha)
    found = np.rint(colours.clip(0, most)).astype(values.dtype)
    grey = found.shape[-1] == 1
    return replace(
        stored,
        values=found[..., 0] if grey else found,
        axes=("y", "x") if grey else stored.axes,
        conversions=(*stored.conversions, "alpha composited over white"),
    )


def upright(stored: ik.Stored, orientation: int) -> ik.Stored:
    """Return values turned as the orientation of TIFF and EXIF says.

    Example:
        >>> upright(ik.Stored(values=np.uint8([[1, 2]])), 6).values.tolist()
        [[1], [2]]
    """
    if orientation not in _TURNS:
        return stored
    turned = np.ascontiguousarray(_TURNS[orientation](stored.values))
    return replace(stored, values=turned, conversions=(*stored.conversions, f"EXIF orientation {orientation} applied"))


def told(stored: ik.Stored, shown: tuple[float, float]) -> ik.Stored:
    """Return the same, with an alert from where to where ImageJ showed it.

    Example:
        >>> told(ik.Stored(values=np.uint16([[1, 2]])), (0, 500)).alerts
        ('ImageJ showed it from 0 to 500: `range: [0, 500]` does so too',)
    """
    low, high = shown
    alert = f"ImageJ showed it from {low:g} to {high:g}: `range: [{low:g}, {high:g}]` does so too"
    return replace(stored, alerts=(*stored.alerts, alert))
