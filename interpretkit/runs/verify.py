"""Verifying a run, and the one lawful way to change a sealed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit.digests import sha256_bytes, sha256_file
from interpretkit.errors import CheckError, StorageError
from interpretkit.runs.files import existing, replace
from interpretkit.runs.journal import EARLIER_JOURNALS, JOURNAL
from interpretkit.runs.manifest import MANIFEST, manifest_bytes, read_manifest, read_record, seal_of
from interpretkit.runs.maps import map_differences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from interpretkit.runs.records import ArrayRecord, RunRecord

_EDITED = f"{MANIFEST} was edited"


def verify(path: Path) -> list[str]:
    """Compare a run with its manifest, and return every difference in words; none if the run is as it was sealed.

    Maps are compared by their arrays, whatever the bytes of the file around them; all else is compared by bytes.
    The journal and the manifest's volatile part are left out. Symbolic links in the run are named, and not followed.

    Raises:
        RecipeError: If `path` is no directory, or a run of a newer format.
    """
    try:
        manifest = read_manifest(path)
    except StorageError as error:
        return [error.message]
    differences = [] if _is_sealed(manifest) else [_EDITED]
    try:
        record = read_record(manifest, where=path)
    except StorageError as error:
        return [*differences, error.message]
    return [*differences, *_file_differences(path, record)]


def reseal(path: Path, relative: str, data: bytes) -> None:
    """Replace a file of a sealed run that is derived from the others, its report, and renew hash and seal.

    Raises:
        CheckError: If the manifest was edited, for a new seal would hide that.
        RecipeError: If `path` is no directory, or a run of a newer format.
        StorageError: If the manifest is damaged, or the disk refuses; then file and manifest are each the old or the
            new one.
    """
    manifest = read_manifest(path)
    if not _is_sealed(manifest):
        raise CheckError(_EDITED, where=str(path), hint="run the recipe again")
    files = {**read_record(manifest, where=path).files, relative: sha256_bytes(data)}
    replace(path, relative, data)
    replace(path, MANIFEST, manifest_bytes({**manifest, "files": dict(sorted(files.items()))}))


def _is_sealed(manifest: Mapping[str, Any]) -> bool:
    try:
        return bool(manifest.get("seal") == seal_of(manifest))
    except (ValueError, RecursionError):
        # JSON can spell text that is no Unicode, and nest without end; no seal was ever set on that.
        return False


def _file_differences(run: Path, record: RunRecord) -> Iterator[str]:
    """Yield the differences of all files: those that the manifest names, then those that it does not."""
    maps: dict[str, list[ArrayRecord]] = {}
    for step in record.steps:
        for each in (*step.maps, *step.arrays):
            maps.setdefault(each.file, []).append(each)
    for relative, digest in record.files.items():
        if relative in maps:
            yield from map_differences(run, relative, maps[relative])
            continue
        try:
            if sha256_file(existing(run, relative)) != digest:
                yield f"{relative} differs from the manifest"
        except StorageError as error:
            yield error.message
        except OSError as error:
            yield f"{relative} cannot be read: {error.strerror}"
    known = {*record.files, MANIFEST, JOURNAL, *EARLIER_JOURNALS}
    yield from (f"{each} was not there when the run was sealed" for each in _files(run) if each not in known)


def _files(run: Path) -> list[str]:
    """Return the paths of all files and links under `run`; links are not followed."""
    return sorted(each.relative_to(run).as_posix() for each in run.rglob("*") if each.is_symlink() or not each.is_dir())
