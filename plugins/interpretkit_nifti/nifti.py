"""The reader of NIfTI files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import InputError, Reader, Stored
from interpretkit_nifti.files import SPACE, Values, header_of, told

if TYPE_CHECKING:
    from pathlib import Path

    from interpretkit import Options

_RIGHT, _FRONT, _UP = range(3)
"""The axes of the body, each in the direction in which nibabel counts it."""

_PLANES = {
    _UP: ("axial slice, the right side on the left", _FRONT, _RIGHT),
    _FRONT: ("coronal slice, the right side on the left", _UP, _RIGHT),
    _RIGHT: ("sagittal slice, the front on the left", _UP, _FRONT),
}
"""For the axis that slices follow each other along: what a slice is, what its rows and its columns run along."""

_COLOURS = ("R", "G", "B")
_UNITS = {"mm": " mm", "meter": " m", "micron": " µm"}
_ROUNDING = 0.01
"""So much the sides of a square may differ that was computed in few digits, as a part of the longer."""


class NiftiReader(Reader):
    """Reads NIfTI files: pages are axial slices from the feet to the head, the front above, the right side on the left.

    So radiologists look at them. A file of a single coronal or sagittal slice is shown as that. The slope and intercept
    of the file are applied; its display range is the range of the values, where it says one. Of a series of volumes the
    first is read, and an alert says so. Pixels that are no squares stay as they are, and an alert says that too.
    """

    name = "nifti"
    suffixes = (".nii", ".nii.gz")
    package = "interpretkit[nifti]"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._values = Values()

    def pages(self, path: Path) -> int:
        """Return how many slices a file has."""
        with told():
            return _Volume.of(header_of(path)).slices

    def read(self, path: Path, page: int) -> Stored:
        """Return a slice `(y, x)`, of colours `(y, x, channel)`."""
        with told():
            header = header_of(path)
            volume = _Volume.of(header)
            return _stored(volume, volume.slice(page, self._values.of(path, header)))


def _stored(volume: _Volume, values: np.ndarray) -> Stored:
    """Return the values of a slice with what the file says of them."""
    said, alerts = (volume.plane,), volume.alerts
    if values.dtype.names == _COLOURS:
        colours = np.stack([values[name] for name in _COLOURS], axis=-1)
        return Stored(values=colours, axes=("y", "x", "channel"), conversions=said, alerts=alerts)
    if values.dtype.names:
        raise InputError(f"holds colours of {len(values.dtype.names)} channels", hint="save them as RGB")
    if values.dtype.kind not in "biuf":
        raise InputError(f"holds {values.dtype} numbers", hint="save their magnitude")
    low, high = float(volume.header["cal_min"]), float(volume.header["cal_max"])
    if not low < high:
        return Stored(values=values, conversions=said, alerts=alerts)
    said_by = "display range of the file"
    return Stored(values=values, range=(low, high), said_by=said_by, conversions=said, alerts=alerts)


@dataclass(frozen=True, slots=True)
class _Volume:
    """A volume of which no values are read yet.

    Attributes:
        header: What the file says, as nibabel reads it.
        axes: Which axis of the file runs along each of the body most, and in which direction: 1 or -1.
        along: The axis of the body that slices follow each other along.
    """

    header: Any
    axes: tuple[tuple[int, int], ...]
    along: int

    @classmethod
    def of(cls, header: Any) -> _Volume:
        """Return the volume that a header describes, the first of a series."""
        from nibabel.orientations import io_orientation

        shape = header.get_data_shape()
        if len(shape) < 2 or 0 in shape or math.prod(shape[SPACE + 1 :]) > 1:  # noqa: PLR2004 - of a slice
            found = "×".join(map(str, shape))
            raise InputError(f"holds {found} values, not a volume or a series of volumes", hint="save one of them")
        orientation = io_orientation(header.get_best_affine())
        if not np.isfinite(orientation).all():
            raise InputError("does not say how it lies in space", hint="save it with an affine that can be inverted")
        axes = [(0, 0)] * SPACE
        for axis, (body, direction) in enumerate(orientation):
            axes[int(body)] = axis, int(direction)
        lengths = [_length(shape, axis) for axis, _ in axes]
        # A single slice is shown as it was taken.
        along = _UP if lengths[_UP] == 1 or 1 not in lengths else lengths.index(1)
        return cls(header, tuple(axes), along)

    @property
    def slices(self) -> int:
        """How many slices it has."""
        return _length(self.header.get_data_shape(), self.axes[self.along][0])

    @property
    def plane(self) -> str:
        """What a slice is, and what lies where."""
        return _PLANES[self.along][0]

    @property
    def alerts(self) -> tuple[str, ...]:
        """What whoever looks at a slice must know."""
        found = []
        series = self.header.get_data_shape()[SPACE:]
        if series and series[0] > 1:
            found.append(f"volume 1 of {series[0]}: save another by itself to see it")
        if not self.header["sform_code"] and not self.header["qform_code"]:
            found.append("the file does not say which side is which: its first axis is taken to run from right to left")
        height, width = self.pixel
        if abs(height - width) > _ROUNDING * max(height, width):
            unit = _UNITS.get(self.header.get_xyzt_units()[0], "")
            found.append(
                f"pixels are {height:.4g}{unit} high and {width:.4g}{unit} wide, and taken as squares: maps "
                "are in pixels, not in millimetres"
            )
        return tuple(found)

    @property
    def pixel(self) -> tuple[float, float]:
        """The height and the width of a pixel of a slice, in the unit of the file."""
        from nibabel.affines import voxel_sizes

        lengths = voxel_sizes(self.header.get_best_affine())
        _, rows, columns = _PLANES[self.along]
        return float(lengths[self.axes[rows][0]]), float(lengths[self.axes[columns][0]])

    def slice(self, page: int, all_values: Any) -> np.ndarray:
        """Return the values of a slice `(y, x)` among all; others are not read where the file is not compressed."""
        axis, direction = self.axes[self.along]
        dims = len(self.header.get_data_shape())
        wanted: list[Any] = [slice(None)] * min(dims, SPACE) + [0] * max(dims - SPACE, 0)
        if axis < len(wanted):
            wanted[axis] = page if direction > 0 else self.slices - 1 - page
        values = np.asarray(all_values[tuple(wanted)])
        _, rows, columns = _PLANES[self.along]
        if self.axes[rows][0] > self.axes[columns][0]:
            values = values.T
        # Both are counted from the far end: from the front or the head, and from the right.
        turned = [slice(None, None, -self.axes[body][1]) for body in (rows, columns)]
        return values[tuple(turned)]


def _length(shape: tuple[int, ...], axis: int) -> int:
    return int(shape[axis]) if axis < min(len(shape), SPACE) else 1
