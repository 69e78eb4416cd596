from __future__ import annotations

import json
import tracemalloc

import pytest

from interpretkit.errors import RecipeError, StorageError
from interpretkit.runs.manifest import manifest_bytes
from interpretkit.runs.run import open_run


def edit(run, change):
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda run: (run / "manifest.json").unlink(), RecipeError, "is no run directory"),
        (lambda run: (run / "manifest.json").write_text("{"), StorageError, "damaged"),
        (lambda run: (run / "manifest.json").write_text("[" * 100_000), StorageError, "damaged"),
        (lambda run: (run / "manifest.json").write_text("[]"), StorageError, "not that of a run"),
        (lambda run: edit(run, lambda data: data.update(schema="other/1")), StorageError, "not that of a run"),
        (lambda run: edit(run, lambda data: data.pop("steps")), StorageError, "does not say its steps"),
        (
            lambda run: edit(run, lambda data: data.update(schema="interpretkit-run/2", interpretkit="7.0")),
            RecipeError,
            r"format 2, written by interpretkit 7\.0; interpretkit 0\.1\.0 reads formats up to 1",
        ),
    ],
)
def test_what_cannot_be_opened_says_why(run, spoil, error, message):
    spoil(run)
    with pytest.raises(error, match=message):
        open_run(run)


def test_a_long_manifest_is_written_in_little_more_memory_than_it_takes():
    record = {"key": "stage4", "dims": ["image", "y", "x"], "shape": [1, 7, 7], "dtype": "float32", "about": "ä"}
    files = [f"results/cam/image{number}.safetensors" for number in range(4000)]
    manifest = {"maps": [{**record, "file": file, "sha256": "0" * 64} for file in files]}
    tracemalloc.start()
    data = manifest_bytes(manifest)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(data)
    expected = json.dumps({**manifest, "seal": json.loads(data)["seal"]}, indent=1, ensure_ascii=False)
    assert data.decode() == expected + "\n"


def test_reading_never_leaves_the_run(run):
    (run.parent / "secret.safetensors").write_bytes((run / "results/cam/cat.safetensors").read_bytes())
    edit(run, lambda data: data["steps"][0]["maps"][0].update(file="../secret.safetensors"))
    with pytest.raises(StorageError, match="no path inside a run"):
        _ = open_run(run).results["cam"].maps["stage4"]
