from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
import safetensors.numpy

from interpretkit.errors import CheckError, RecipeError, StorageError
from interpretkit.runs.verify import reseal, verify

CAT, PEAKS = "results/cam/cat.safetensors", "results/cam/peaks.csv"


def edit(run, change):
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))


def flip(run, name):
    data = bytearray((run / name).read_bytes())
    data[-1] ^= 1
    (run / name).write_bytes(data)


def rewrite(run, arrays=None, metadata=None):
    with safetensors.safe_open(run / CAT, "numpy") as file:
        found, says = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 - no mapping
    safetensors.numpy.save_file({**found, **(arrays or {})}, run / CAT, {**says, **(metadata or {})})


def plant_link(run, name, to):
    (run / name).unlink()
    (run / name).symlink_to(to)


def swap_folder(run):
    (run / "results/cam").rename(run.parent / "elsewhere")
    (run / "results/cam").symlink_to(run.parent / "elsewhere")


def plant_pipe(run):
    (run / "recipe.yaml").unlink()
    os.mkfifo(run / "recipe.yaml")


EDITED = "manifest.json was edited"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda run: flip(run, CAT), [f"{CAT}: half differs from the manifest"]),
        (lambda run: rewrite(run, {"more": np.ones(1)}), [f"{CAT}: more was not there when the run was sealed"]),
        (
            lambda run: rewrite(run, metadata={"interpretkit": "{}"}),
            [f"{CAT}: what it says of {key} differs from the manifest" for key in ("stage4", "half")],
        ),
        (
            lambda run: safetensors.numpy.save_file({}, run / CAT),
            [f"{CAT}: {key} is missing" for key in ("stage4", "half")],
        ),
        (lambda run: (run / CAT).write_bytes(b""), [f"{CAT}: cannot be read: "]),
        (lambda run: (run / CAT).unlink(), [f"{CAT} is missing"]),
        (lambda run: flip(run, PEAKS), [f"{PEAKS} differs from the manifest"]),
        (
            lambda run: flip(run, "figures/cam/cat--stage4.png"),
            ["figures/cam/cat--stage4.png differs from the manifest"],
        ),
        (lambda run: flip(run, "inputs/dog.png"), ["inputs/dog.png differs from the manifest"]),
        (lambda run: (run / "report.html").unlink(), ["report.html is missing"]),
        (lambda run: (run / "manifest.json").unlink(), ["manifest.json is missing"]),
        (lambda run: (run / "manifest.json").write_text("{'"), ["manifest.json cannot be read: it is damaged"]),
        (lambda run: edit(run, lambda data: data.update(status="failed")), [EDITED]),
        (lambda run: edit(run, lambda data: data.update(score=float("nan"))), ["manifest.json cannot be read: "]),
        (lambda run: edit(run, lambda data: data.update(name="\ud800")), [EDITED]),
        (lambda run: edit(run, lambda data: data.pop("seal")), [EDITED]),
        (lambda run: edit(run, lambda data: data.update(files=3)), [EDITED, "manifest.json does not say"]),
        (
            lambda run: edit(run, lambda data: data["files"].update({"../secret": "00"})),
            [EDITED, "'../secret' is no path inside a run"],
        ),
        (lambda run: (run / "results/cam/.x").write_text(""), ["results/cam/.x was not there when the run was sealed"]),
        (
            lambda run: plant_link(run, "report.html", "recipe.yaml"),
            ["report.html leads through a symbolic link"],
        ),
        (
            lambda run: (run / "extra").symlink_to(run.parent),
            ["extra was not there when the run was sealed"],
        ),
        (
            swap_folder,
            [
                f"{CAT} leads through a symbolic link",
                "results/cam/dog.safetensors leads through a symbolic link",
                f"{PEAKS} leads through a symbolic link",
                "results/cam was not there when the run was sealed",
            ],
        ),
        (plant_pipe, ["recipe.yaml is no plain file"]),
    ],
)
def test_verify_names_every_difference_and_nothing_else(run, spoil, expected):
    assert verify(run) == []
    (run.parent / "secret").write_text("secret")
    spoil(run)
    found = verify(run)
    assert len(found) == len(expected), found
    assert all(difference.startswith(words) for difference, words in zip(found, expected, strict=True)), found


def test_the_bytes_around_an_array_and_what_is_volatile_are_no_difference(run):
    before = (run / CAT).read_bytes()
    rewrite(run, metadata={"another": "entry"})
    edit(run, lambda data: data.update(volatile={"seconds": 7}))
    assert (run / CAT).read_bytes() != before
    assert verify(run) == []


def test_verify_refuses_what_it_cannot_judge(run):
    with pytest.raises(RecipeError, match="no run directory"):
        verify(run / "manifest.json")
    edit(run, lambda data: data.update(schema="interpretkit-run/2"))
    with pytest.raises(RecipeError, match="format 2"):
        verify(run)


def test_a_new_report_is_sealed_in_the_place_of_the_old_one(run):
    reseal(run, "report.html", b"<p>second</p>")
    assert (run / "report.html").read_bytes() == b"<p>second</p>"
    assert verify(run) == []
    reseal(run, "figures/new.png", b"")
    assert verify(run) == []


def test_a_new_report_does_not_hide_an_edited_manifest(run):
    edit(run, lambda data: data.update(status="failed"))
    with pytest.raises(CheckError, match=r"manifest\.json was edited"):
        reseal(run, "report.html", b"second")
    assert (run / "report.html").read_bytes() == b"<p>first</p>"


@pytest.mark.parametrize("at", [0, 2])
def test_a_report_that_does_not_fit_on_the_disk_leaves_a_whole_one(run, monkeypatch, at, failing_write):
    with monkeypatch.context() as full:
        failing_write(full, at if at == 0 else 1, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(StorageError, match="No space left"):
            reseal(run, "report.html", b"second")
    expected = [] if at == 0 else ["report.html differs from the manifest"]
    assert verify(run) == expected
    reseal(run, "report.html", b"third")
    assert verify(run) == []


def test_a_report_is_not_written_through_a_link(run):
    (run.parent / "page").write_text("untouched")
    plant_link(run, "report.html", run.parent / "page")
    with pytest.raises(StorageError, match="symbolic link"):
        reseal(run, "report.html", b"second")
    assert (run.parent / "page").read_text() == "untouched"
