"""Writing a run: a hidden draft beside its place, moved there when it is sealed."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from interpretkit.digests import canonical_json, plain, sha256_bytes
from interpretkit.errors import StepError, StorageError
from interpretkit.runs.files import append, file_name, storage_errors, sync, write_new
from interpretkit.runs.manifest import EVENTS, MANIFEST, SCHEMA, manifest_bytes
from interpretkit.runs.maps import check_maps, encode_maps, map_records
from interpretkit.runs.tables import GrowingTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from interpretkit.results.axes import Array
    from interpretkit.results.result import Result


def create(parent: Path, name: str) -> Draft:
    """Begin a run of the recipe `name` in the folder `parent`, which is made if need be.

    Raises:
        StorageError: If nothing can be written there.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from interpretkit.runs.run import open_run
        >>> from interpretkit.runs.verify import verify
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draft = create(Path(folder), "demo")
        ...     draft.write_text("recipe.yaml", "name: demo")
        ...     path = draft.seal({"status": "complete", "inputs": [], "steps": []})
        ...     open_run(path).status, verify(path)
        ('complete', [])
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            time = datetime.now(tz=UTC).astimezone()
            draft = Draft(parent, f"{file_name(name)}-{time:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
            if _claimed(draft):
                return draft
    except (OSError, ValueError) as error:
        raise StorageError(
            f"cannot make a run directory: {getattr(error, 'strerror', None) or error}",
            where=str(parent),
            hint="give a folder that can be written to",
        ) from error


class Draft:
    """A run that is being written. Every file is written in full or not at all, and none is written twice.

    Attributes:
        id: `<name>-<time>-<6 digits>`: the name of the run directory.
        path: The hidden directory that holds it until it is sealed.
    """

    def __init__(self, parent: Path, name: str) -> None:
        self.id = name
        self.path = parent / f".{name}.partial"
        self._files: dict[str, str] = {}
        self._maps: dict[str, list[dict[str, Any]]] = {}
        self._tables: dict[str, dict[str, GrowingTable]] = {}

    def write_text(self, relative: str, text: str) -> None:
        """Write a text file, in UTF-8 and with the line ends of `text`.

        Raises:
            StepError: If there is such a file already.
            StorageError: If it cannot be written, or the path leaves the run.
        """
        self.write_bytes(relative, text.encode("utf-8", "backslashreplace"))

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Write a file; `relative` is its path in the run, with `/`.

        Raises:
            StepError: If there is such a file already.
            StorageError: If it cannot be written, or the path leaves the run.
        """
        digest = sha256_bytes(data)
        write_new(self.path, relative, data)
        self._files[relative] = digest

    def write_result(self, step: str, result: Result, *, reduction: bool) -> None:
        """Write what a step returned.

        Args:
            step: Its id.
            result: Of a batch of images, whose tables go on where the last batch ended; or of the whole set.
            reduction: Whether it is of the whole set.

        Raises:
            StepError: If a map or a table cannot be stored, or was stored before.
            StorageError: If it cannot be written.
        """
        arrays: dict[str, Array] = {**result.maps, **result.arrays}
        check_maps(arrays, images=None if reduction else len(result.images))
        tables = {name: self._table(step, name) for name in result.tables}
        for name, table in result.tables.items():
            if not reduction and "image" not in table.columns:
                raise StepError(f"table {name!r} has no column 'image'", hint="its rows are about images: say which")
            if reduction and name in self._tables.get(step, {}):
                raise StepError(f"table {name!r} of the whole set is stored already")
            tables[name].types_with(table)
        if reduction:
            self._write_maps(step, arrays, stem="maps", image=None)
        else:
            for index, image in enumerate(result.images):
                part = slice(index, index + 1)
                rows = {name: replace(each, values=each.values[part]) for name, each in arrays.items()}
                self._write_maps(step, rows, stem=image.id, image=image.id)
        for name, table in result.tables.items():
            tables[name].add(self.path, table)
            self._tables.setdefault(step, {})[name] = tables[name]

    def write_figure(self, step: str, image: str | None, name: str, png: bytes) -> str:
        """Write a picture of an image, or of the whole set, and return its path in the run.

        Raises:
            StepError: If `name` is unfit to name a file, or the step has such a figure already.
            StorageError: If it cannot be written.
        """
        stem = file_name(name) if image is None else f"{image}--{file_name(name)}"
        relative = f"figures/{file_name(step)}/{stem}.png"
        self.write_bytes(relative, png)
        return relative

    def records(self, step: str) -> dict[str, list[dict[str, Any]]]:
        """Return what the manifest says of a step's `maps`, `arrays` and `tables`: files, dtypes, hashes."""
        written = self._maps.get(step, ())
        return {
            "maps": [record for record in written if "layer" in record],
            "arrays": [record for record in written if "layer" not in record],
            "tables": [table.record() for table in self._tables.get(step, {}).values()],
        }

    def event(self, kind: str, **facts: Any) -> None:
        """Add a line to the events: what happened, now.

        Raises:
            StorageError: If it cannot be written.
        """
        line = {"time": datetime.now(tz=UTC).isoformat(), "kind": kind, **plain(facts)}
        append(self.path, EVENTS, canonical_json(line) + b"\n")

    def seal(self, manifest: Mapping[str, Any]) -> Path:
        """Write the manifest, with the hashes of all files; move the draft to its place, and return that.

        Raises:
            StorageError: If the disk refuses; then there is no run.
        """
        tables = [table.record() for step in self._tables.values() for table in step.values()]
        files = self._files | {table["file"]: table["sha256"] for table in tables}
        sealed = {"schema": SCHEMA} | plain(manifest) | {"id": self.id, "files": dict(sorted(files.items()))}
        final = self.path.with_name(self.id)
        write_new(self.path, MANIFEST, manifest_bytes(sealed), durable=True)
        sync(self.path)
        with storage_errors("put the finished run in its place", final):
            self.path.rename(final)
        sync(final.parent)
        return final

    def abandon(self) -> None:
        """Remove the draft."""
        # Whatever led here is the error to tell of; a hidden folder that cannot be removed does no harm.
        shutil.rmtree(self.path, ignore_errors=True)

    def _write_maps(self, step: str, maps: Mapping[str, Array], *, stem: str, image: str | None) -> None:
        if maps:
            relative = f"results/{file_name(step)}/{stem}.safetensors"
            self.write_bytes(relative, encode_maps(maps))
            self._maps.setdefault(step, []).extend(map_records(maps, file=relative, image=image))

    def _table(self, step: str, name: str) -> GrowingTable:
        """Return a table of the step; one that has no rows yet is not part of the run."""
        file = f"results/{file_name(step)}/{file_name(name)}.csv"
        return self._tables.get(step, {}).get(name) or GrowingTable(name, file)


def _claimed(draft: Draft) -> bool:
    """Make the draft's directory, unless a run of this id is there or on its way."""
    try:
        draft.path.mkdir()
    except FileExistsError:
        return False
    if os.path.lexists(draft.path.with_name(draft.id)):
        draft.path.rmdir()
        return False
    return True
