"""The manifest of a run: read with care, sealed with a hash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from interpretkit.digests import canonical_json, sha256_bytes
from interpretkit.errors import RecipeError, StorageError
from interpretkit.runs.environment import environment
from interpretkit.runs.files import existing
from interpretkit.runs.first_runs import brought_up
from interpretkit.runs.records import RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FORMAT, _FORMAT_VERSION = "interpretkit-run/", 1
SCHEMA = f"{_FORMAT}{_FORMAT_VERSION}"
"""What a manifest of this version says of itself."""

MANIFEST = "manifest.json"


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return the text of a manifest, with its seal."""
    # `dumps` would keep each bracket and comma as a text of its own until it joins them: six times the manifest in all.
    encoder = json.JSONEncoder(indent=1, ensure_ascii=False, allow_nan=False)
    data = bytearray()
    for piece in encoder.iterencode({**manifest, "seal": seal_of(manifest)}):
        data += piece.encode()
    data += b"\n"
    return bytes(data)


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the hash of a manifest without its volatile part and its seal.

    Example:
        >>> seal_of({"status": "complete", "seal": "…"}) == seal_of({"status": "complete", "volatile": {"seconds": 3}})
        True
    """
    return sha256_bytes(canonical_json({key: manifest[key] for key in manifest.keys() - {"volatile", "seal"}}))


def read_manifest(run: Path) -> dict[str, Any]:
    """Return the manifest of the run directory `run`, edited or not.

    Raises:
        RecipeError: If `run` is no directory, or its format is newer than this version.
        StorageError: If the manifest is missing, or cannot be understood.
    """
    if not run.is_dir():
        raise RecipeError(f"{run} is no run directory", hint="give the directory that `interpretkit run` printed")
    path = existing(run, MANIFEST)
    try:
        manifest = json.loads(path.read_bytes(), parse_constant=_refuse)
    except OSError as error:
        raise StorageError(f"{MANIFEST} cannot be read: {error.strerror}", where=str(run)) from error
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{MANIFEST} cannot be read: it is damaged", where=str(run)) from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    version = schema.removeprefix(_FORMAT) if isinstance(schema, str) and schema.startswith(_FORMAT) else ""
    if not version.isdecimal():
        raise StorageError(f"{MANIFEST} is not that of a run", where=str(run))
    if int(version) > _FORMAT_VERSION:
        raise RecipeError(
            f"this run has format {version}, written by interpretkit {manifest.get('interpretkit')}; "
            f"interpretkit {environment()['interpretkit']} reads formats up to {_FORMAT_VERSION}",
            where=str(run),
            hint="install a newer interpretkit",
        )
    return dict(manifest)


def read_record(manifest: Mapping[str, Any], *, where: Path) -> RunRecord:
    """Return what the manifest of the run directory `where` says, as a record.

    Raises:
        StorageError: If it does not say what a manifest must say.
    """
    try:
        # What is no Unicode can be spelt in JSON; nothing of a run is.
        text = json.dumps(brought_up(manifest), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        return RunRecord.decode(text)
    except ValidationError as error:
        raise StorageError(f"{MANIFEST} {_missed(error)}", where=str(where)) from error
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{MANIFEST} cannot be read: it is damaged", where=str(where)) from error


def _missed(error: ValidationError) -> str:
    """Say in a line what a manifest lacks, or where it first says something else than it must."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    missing = [str(each["loc"][0]) for each in faults if each["type"] == "missing" and len(each["loc"]) == 1]
    if missing:
        return f"does not say its {', '.join(sorted(missing))}"
    place = ".".join(map(str, faults[0]["loc"]))
    return f"does not say what a manifest must say: {place}: {faults[0]['msg']}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
