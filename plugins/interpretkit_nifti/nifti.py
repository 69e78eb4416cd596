"""The reader of NIfTI files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import InputError, Reader, Stored

if TYPE_CHECKING:
    from pathlib import Path

_RIGHT, _FRONT, _UP = range(3)
"""The axes of the body, each in the direction in which nibabel counts it."""

_PLANES = {
    _UP: ("axial slice, the right side on the left", _FRONT, _RIGHT),
    _FRONT: ("coronal slice, the right side on the left", _UP, _RIGHT),
    _RIGHT: ("sagittal slice, the front on the left", _UP, _FRONT),
}
"""For the axis that slices follow each other along: what a slice is, what its rows and its columns run along."""

_SPACE = 3
_COLOURS = ("R", "G", "B")


class NiftiReader(Reader):
    """Reads NIfTI files: pages are axial slices from the feet to the head, the front above, the right side on the left.

    So radiologists look at them. A file of a single coronal or sagittal slice is shown as that. The slope and intercept
    of the file are applied; its display range is the range of the values, where it says one. Of a series of volumes the
    first is read, and an alert says so.
    """

    name = "nifti"
    suffixes = (".nii", ".nii.gz")
    package = "interpretkit[nifti]"

    def pages(self, path: Path) -> int:
        """Return how many slices a file has."""
        return _Volume.of(path).slices

    def read(self, path: Path, page: int) -> Stored:
        """Return a slice `(y, x)`, of colours `(y, x, channel)`."""
        volume = _Volume.of(path)
        values = volume.slice(page)
        if values.dtype.names == _COLOURS:
            colours = np.stack([values[name] for name in _COLOURS], axis=-1)
            return Stored(values=colours, axes=("y", "x", "channel"), conversions=(volume.plane,), alerts=volume.alerts)
        if values.dtype.kind not in "biuf":
            raise InputError(f"holds {values.dtype} numbers", hint="save their magnitude")
        low, high = float(volume.file.header["cal_min"]), float(volume.file.header["cal_max"])
        return Stored(
            values=values,
            range=(low, high) if low < high else None,
            said_by="display range of the file",
            conversions=(volume.plane,),
            alerts=volume.alerts,
        )


@dataclass(frozen=True, slots=True)
class _Volume:
    """A file of which no values are read yet.

    Attributes:
        file: The file, as nibabel opens it.
        axes: Which axis of the file runs along each of the body most, and in which direction: 1 or -1.
        along: The axis of the body that slices follow each other along.
    """

    file: Any
    axes: tuple[tuple[int, int], ...]
    along: int

    @classmethod
    def of(cls, path: Path) -> _Volume:
        """Return the volume in a file."""
        import nibabel
        from nibabel.filebasedimages import ImageFileError
        from nibabel.orientations import io_orientation

        try:
            file: Any = nibabel.load(path)
        except ImageFileError as error:
            raise InputError("cannot be read as NIfTI", hint=str(error)) from error
        if not 2 <= len(file.shape) <= _SPACE + 1 or 0 in file.shape:  # noqa: PLR2004 - of a slice
            shape = "×".join(map(str, file.shape))
            raise InputError(f"holds {shape} values, not a volume or a series of volumes", hint="save one of them")
        found = io_orientation(file.affine)
        if not np.isfinite(found).all():
            raise InputError("does not say how it lies in space", hint="save it with an affine that can be inverted")
        axes = [(0, 0)] * _SPACE
        for axis, (body, direction) in enumerate(found):
            axes[int(body)] = axis, int(direction)
        lengths = [_length(file, axis) for axis, _ in axes]
        # A single slice is shown as it was taken.
        along = _UP if lengths[_UP] == 1 or 1 not in lengths else lengths.index(1)
        return cls(file, tuple(axes), along)

    @property
    def slices(self) -> int:
        """How many slices it has."""
        return _length(self.file, self.axes[self.along][0])

    @property
    def plane(self) -> str:
        """What a slice is, and what lies where."""
        return _PLANES[self.along][0]

    @property
    def alerts(self) -> tuple[str, ...]:
        """What whoever looks at a slice must know."""
        found = []
        series = self.file.shape[_SPACE:]
        if series and series[0] > 1:
            found.append(f"volume 1 of {series[0]}: save another by itself to see it")
        if not self.file.header["sform_code"] and not self.file.header["qform_code"]:
            found.append("the file does not say which side is which: its first axis is taken to run from right to left")
        return tuple(found)

    def slice(self, page: int) -> np.ndarray:
        """Return the values of a slice `(y, x)`; those of others are not read where the file is not compressed."""
        axis, direction = self.axes[self.along]
        wanted: list[Any] = [slice(None)] * len(self.file.shape)
        wanted[_SPACE:] = [0] * len(wanted[_SPACE:])
        if axis < len(wanted):
            wanted[axis] = page if direction > 0 else self.slices - 1 - page
        values = np.asarray(self.file.dataobj[tuple(wanted)])
        _, rows, columns = _PLANES[self.along]
        if self.axes[rows][0] > self.axes[columns][0]:
            values = values.T
        # Both are counted from the far end: from the front or the head, and from the right.
        turned = [slice(None, None, -self.axes[body][1]) for body in (rows, columns)]
        return values[tuple(turned)]


def _length(file: Any, axis: int) -> int:
    return int(file.shape[axis]) if axis < min(len(file.shape), _SPACE) else 1
