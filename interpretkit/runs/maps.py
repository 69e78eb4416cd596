"""Maps and arrays in safetensors files, and what the manifest says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from interpretkit.digests import array_digest
from interpretkit.errors import StepError, StorageError
from interpretkit.results.axes import Array
from interpretkit.results.map import Map
from interpretkit.runs.files import existing
from interpretkit.runs.first_runs import with_geometry
from interpretkit.runs.records import ArrayRecord, MapRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LARGEST_ITEM = 8
_METADATA = "interpretkit"
_DESCRIBED = {"dims", "layer", "extent", "spacing", "polarity"}
"""What the file of a map or an array says of it, and its record as well."""


def check_maps(maps: Mapping[str, Array], *, images: int | None) -> None:
    """Check that maps or arrays can be stored.

    Args:
        maps: By name.
        images: How many images they are about; None for maps of the whole set.

    Raises:
        StepError: If a map's dtype cannot be stored, or its dims are not those of a result per image or of the set.
    """
    for name, each in maps.items():
        dtype = each.values.dtype
        if dtype.kind not in "biuf" or dtype.itemsize > _LARGEST_ITEM:
            raise StepError(f"map {name!r}: dtype {dtype} cannot be stored", hint="return integers or floats")
        if images is None and "image" in each.dims:
            raise StepError(f"map {name!r} has a dim 'image', but it is about the whole set")
        if images is not None and (each.dims[:1] != ("image",) or len(each.values) != images):
            found = ", ".join(f"{dim} {size}" for dim, size in zip(each.dims, each.values.shape, strict=True))
            raise StepError(f"map {name!r} has dims ({found})", hint=f"its first dim is image, of length {images}")


def encode_maps(maps: Mapping[str, Array]) -> bytes:
    """Return maps and arrays as the bytes of a safetensors file that says their dims, layer, extent and polarity."""
    # safetensors writes the memory as it lies, whatever the strides are.
    arrays = {name: np.require(each.values, each.values.dtype.newbyteorder("="), ["C"]) for name, each in maps.items()}
    metadata = json.dumps({name: _described(each) for name, each in maps.items()})
    return safetensors.numpy.save(arrays, {_METADATA: metadata})


def record_of(each: Array, *, key: str, file: str, image: str | None) -> ArrayRecord:
    """Return the record of a map or array that lies in `file` under `key`; about `image`, or about the whole set."""
    kind = MapRecord if isinstance(each, Map) else ArrayRecord
    return kind.from_facts(
        file=file,
        key=key,
        image=image,
        shape=each.values.shape,
        dtype=each.values.dtype.name,
        **_described(each),
        sha256=array_digest(each.values),
    )


def array_of(record: ArrayRecord, values: np.ndarray) -> Array:
    """Return the map or array that a record describes, of its values.

    Raises:
        ValueError: If the values have another number of dims.
    """
    if not isinstance(record, MapRecord):
        return Array(values=values, dims=record.dims)
    return Map(
        values=values,
        dims=record.dims,
        layer=record.layer,
        extent=record.extent,
        spacing=record.spacing,
        polarity=record.polarity,
    )


def read_map(run: Path, record: ArrayRecord) -> Array:
    """Return the map or array that a record is about.

    Raises:
        StorageError: If its file is missing or damaged, or it is not the array that was stored.
    """
    path = existing(run, record.file)
    place = f"{record.file}: {record.key}"
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            values = file.get_tensor(record.key)
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(f"{place} cannot be read: {error}", where=str(run)) from error
    if array_digest(values) != record.sha256:
        raise StorageError(f"{place} differs from the manifest", where=str(run), hint="`interpretkit verify` says more")
    try:
        return array_of(record, values)
    except ValueError as error:
        raise StorageError(f"{place} is no map: {error}", where=str(run)) from error


def map_differences(run: Path, file: str, records: Sequence[ArrayRecord]) -> list[str]:
    """Return how the maps in a file differ from their records, in words."""
    expected = {record.key: record for record in records}
    try:
        with safetensors.safe_open(existing(run, file), framework="numpy") as opened:
            found = set(opened.keys())
            says = json.loads((opened.metadata() or {}).get(_METADATA, "{}"))
            digests = {key: array_digest(opened.get_tensor(key)) for key in found & expected.keys()}
    except StorageError as error:
        return [error.message]
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        return [f"{file}: cannot be read: {error}"]
    differences = [f"{file}: {key} was not there when the run was sealed" for key in sorted(found - expected.keys())]
    for key, record in expected.items():
        described = record.model_dump(mode="json", include=_DESCRIBED)
        if key not in found:
            differences.append(f"{file}: {key} is missing")
        elif digests[key] != record.sha256:
            differences.append(f"{file}: {key} differs from the manifest")
        elif not isinstance(says, dict) or with_geometry(says.get(key)) != described:
            differences.append(f"{file}: what it says of {key} differs from the manifest")
    return differences


def _described(each: Array) -> dict[str, Any]:
    if not isinstance(each, Map):
        return {"dims": list(each.dims)}
    return {
        "dims": list(each.dims),
        "layer": each.layer,
        "extent": dict(each.extent),
        "spacing": {axis: list(along) for axis, along in each.spacing.items()},
        "polarity": each.polarity,
    }
