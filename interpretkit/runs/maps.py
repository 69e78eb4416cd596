"""Maps and arrays in safetensors files, and what the manifest says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from interpretkit.digests import array_digest
from interpretkit.errors import StepError, StorageError
from interpretkit.results.axes import Array, spatial
from interpretkit.results.map import Map
from interpretkit.runs.files import existing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LARGEST_ITEM = 8
_METADATA = "interpretkit"
_DESCRIBED = ("dims", "layer", "extent", "input_size", "polarity")


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


def map_records(maps: Mapping[str, Array], *, file: str, image: str | None) -> list[dict[str, Any]]:
    """Return what the manifest says of the maps in `file`, which are about `image`, or about the whole set."""
    return [
        {
            "file": file,
            "key": name,
            "image": image,
            "shape": list(each.values.shape),
            "dtype": each.values.dtype.name,
            **_described(each),
            "sha256": array_digest(each.values),
        }
        for name, each in maps.items()
    ]


def read_map(run: Path, record: Mapping[str, Any]) -> Array:
    """Return the map or array that a record of the manifest is about.

    Raises:
        StorageError: If its file is missing or damaged, or it is not the array that was stored.
    """
    path = existing(run, record["file"])
    place = f"{record['file']}: {record['key']}"
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            values = file.get_tensor(record["key"])
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(f"{place} cannot be read: {error}", where=str(run)) from error
    if array_digest(values) != record["sha256"]:
        raise StorageError(f"{place} differs from the manifest", where=str(run), hint="`interpretkit verify` says more")
    dims = tuple(record["dims"])
    if "layer" not in record:
        return Array(values=values, dims=dims)
    return Map(values=values, dims=dims, layer=record["layer"], extent=_extent(record), polarity=record["polarity"])


def map_differences(run: Path, file: str, records: list[Mapping[str, Any]]) -> list[str]:
    """Return how the maps in a file differ from their records, in words."""
    expected = {record["key"]: record for record in records}
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
        described = {name: record[name] for name in _DESCRIBED if name in record}
        if key not in found:
            differences.append(f"{file}: {key} is missing")
        elif digests[key] != record["sha256"]:
            differences.append(f"{file}: {key} differs from the manifest")
        elif not isinstance(says, dict) or says.get(key) != described:
            differences.append(f"{file}: what it says of {key} differs from the manifest")
    return differences


def _described(each: Array) -> dict[str, Any]:
    if not isinstance(each, Map):
        return {"dims": list(each.dims)}
    extent = dict(each.extent)
    return {"dims": list(each.dims), "layer": each.layer, "extent": extent, "polarity": each.polarity}


def _extent(record: Mapping[str, Any]) -> dict[str, int]:
    """Return the extent of a map by axis; the first runs say height and width."""
    if "extent" in record:
        return dict(record["extent"])
    pixels = dict(zip(spatial(2), record["input_size"], strict=True))
    return {axis: pixels[axis] for axis in record["dims"] if axis in pixels}
