"""Images in array files of numpy."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interpretkit import words
from interpretkit.errors import InputError, cause
from interpretkit.results.stored import AXES, Stored

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".npy", ".npz")

_CHANNELS = (1, 3, 4)


class ArrayReader:
    """Reads `.npy`, and `.npz` of one array; pages are what lies along z.

    Args:
        axes: The axes of the array, where they are stated: `x`, `y`, and `channel` or `z` or both, in any order.
    """

    def __init__(self, axes: tuple[str, ...] | None) -> None:
        self._axes = axes

    def pages(self, path: Path) -> int:
        """Return how many slices there are along z."""
        stored = self._read(path)
        return len(stored.values) if "z" in stored.axes else 1

    def read(self, path: Path, page: int) -> Stored:
        """Return a slice of the array along z, or all of it where there is no z."""
        stored = self._read(path)
        if "z" not in stored.axes:
            return replace(stored, values=_copied(stored.values))
        return Stored(values=_copied(stored.values[page]), axes=stored.axes[1:])

    def _read(self, path: Path) -> Stored:
        return stored_array(_array(path), self._axes)


def stored_array(values: np.ndarray, axes: tuple[str, ...] | None) -> Stored:
    """Return an array as what a file stores, with its axes in order.

    Args:
        values: The array.
        axes: Its axes, where they are stated; else the shape must leave no doubt about them.

    Raises:
        InputError: If it holds no numbers, or does not have such axes.

    Example:
        >>> stored_array(np.zeros((4, 3, 1)), None).axes
        ('y', 'x')
    """
    if values.dtype.kind not in "biuf":
        raise InputError(f"holds an array of {values.dtype}, not of numbers", hint="save the values alone")
    if np.ma.is_masked(values):
        raise InputError("holds masked values, of which nobody knows what they show", hint="give values.filled(…)")
    axes = axes or _axes_of(values.shape)
    wanted: tuple[str, ...] | None = next((known for known in AXES if sorted(known) == sorted(axes)), None)
    if wanted is None or len(axes) != values.ndim:
        found = f"holds {_shaped(values)}, and its axes are said to be {', '.join(axes)}"
        raise InputError(found, hint="such as `axes: [z, y, x]`")
    if values.size == 0:
        raise InputError(f"holds {_shaped(values)}, which is empty")
    turned = values.transpose([axes.index(axis) for axis in wanted])
    if wanted[-1] == "channel" and turned.shape[-1] == 1:
        turned, wanted = turned[..., 0], wanted[:-1]
    return Stored(values=turned, axes=wanted)


def _array(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npy":
            # Mapped, so that a slice of a large volume does not cost all of it.
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        # Opened here, since numpy leaves a damaged archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if len(archive.files) == 1:
                return np.asarray(archive[archive.files[0]])
            names = ", ".join(archive.files) or "none"
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        raise InputError(f"cannot be read as an array: {cause(error)}", hint="save it anew by numpy.save") from error
    raise InputError(f"holds several arrays, or none: {names}", hint="save the image alone")


def _copied(values: np.ndarray) -> np.ndarray:
    """Return values in memory, in this machine's order of bytes."""
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def _axes_of(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the axes of an array that leaves no doubt about them."""
    if len(shape) == 2:  # noqa: PLR2004 - rows and columns
        return "y", "x"
    if len(shape) == 3 and shape[-1] in _CHANNELS:  # noqa: PLR2004 - and channels
        return "y", "x", "channel"
    raise InputError(
        f"holds an array {words.shape(shape)} whose axes are not known", hint="say them, such as `axes: [z, y, x]`"
    )


def _shaped(values: np.ndarray) -> str:
    return f"an array {words.shape(values.shape)}"
