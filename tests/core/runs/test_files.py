from __future__ import annotations

import errno

import pytest

from interpretkit.errors import StepError, StorageError
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.runs.draft import create
from interpretkit.runs.run import open_run
from interpretkit.runs.verify import verify


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "a\\b", "x\0", ".hidden", "..", "a..b", "a\nb", "\x9b", "", "x" * 151, "é" * 76]
)
def test_a_figure_whose_name_could_lead_elsewhere_is_the_plugins_fault(tmp_path, name, write_figure):
    draft = create(tmp_path, "small")
    with pytest.raises(StepError, match="cannot name a file") as caught:
        write_figure(draft, "cam", "cat", name, b"")
    assert caught.value.exit_code == 5
    assert list(draft.path.rglob("*")) == []


def test_what_is_unfit_for_some_file_systems_is_replaced(tmp_path, write_figure):
    draft = create(tmp_path, "small")
    assert write_figure(draft, "cam", "cat", 'Größe: <a> "1/2"'.replace("/", "|"), b"") == (
        "figures/cam/cat--Größe___a___1_2_.png"
    )
    assert write_figure(draft, "cam", None, "stage1.0.conv#2", b"") == "figures/cam/stage1.0.conv#2.png"


def test_two_artifacts_of_one_name_are_refused_and_the_first_one_stays(tmp_path, result_of, write_figure):
    draft = create(tmp_path, "small")
    file = write_figure(draft, "cam", "cat", "stage:4", b"first")
    with pytest.raises(StepError, match=r"two artifacts are named figures/cam/cat--stage_4\.png"):
        write_figure(draft, "cam", "cat", "stage?4", b"second")
    assert (draft.path / file).read_bytes() == b"first"
    draft.write_result("cam", result_of(["cat"]), reduction=False)
    with pytest.raises(StepError, match=r"results/cam/cat\.safetensors"):
        draft.write_result("cam", result_of(["cat"]), reduction=False)


@pytest.mark.parametrize("planted", ["results", "results/cam", "results/cam/cat.safetensors", "results/cam/peaks.csv"])
def test_nothing_is_written_through_a_symbolic_link_in_a_draft(tmp_path, planted, result_of):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    draft = create(tmp_path / "runs", "small")
    (draft.path / planted).parent.mkdir(parents=True, exist_ok=True)
    (draft.path / planted).symlink_to(outside / "file" if "." in planted else outside)
    with pytest.raises(StorageError, match="symbolic link"):
        draft.write_result("cam", result_of(["cat"]), reduction=False)
    assert (outside / "file").read_text() == "untouched"
    assert list(outside.iterdir()) == [outside / "file"]


@pytest.mark.parametrize("relative", ["../x", "/etc/x", "a//b", "a/../b", "C:/x", "", "a\0"])
def test_a_path_that_leaves_the_run_is_refused(tmp_path, relative):
    draft = create(tmp_path, "small")
    with pytest.raises(StorageError, match="no path inside a run"):
        draft.write_text(relative, "")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=str)
def test_a_disk_that_is_full_at_any_write_leaves_no_run_and_no_part_of_a_file(
    tmp_path, monkeypatch, error, *, make_run, failing_write
):
    with monkeypatch.context() as counting:
        calls = failing_write(counting, -9, error)
        earlier = make_run(tmp_path / "earlier")
    for at in range(len(calls)):
        parent = tmp_path / str(at)
        with monkeypatch.context() as full:
            failing_write(full, at, error)
            with pytest.raises((StorageError, KeyboardInterrupt)) as caught:
                make_run(parent)
        assert isinstance(error, KeyboardInterrupt) or "No space left on device" in str(caught.value)
        (partial,) = parent.iterdir()
        assert partial.name.endswith(".partial")
        for file in (each for each in partial.rglob("*") if each.is_file()):
            whole = (earlier / file.relative_to(partial)).read_bytes()
            assert file.name == "journal.jsonl" or file.read_bytes() == whole
            assert file.name != "manifest.json"
    assert len(calls) == 20
    assert verify(earlier) == []


def test_a_batch_that_does_not_fit_on_the_disk_leaves_the_table_as_it_was(
    tmp_path, monkeypatch, *, image, begun, seal, failing_write
):
    draft = begun(tmp_path, "cam")
    rows = [Result(tables={"peaks": Table(image=[name], peak=[0.5])}) for name in ("cat", "dog", "emu")]
    draft.write_result("cam", rows[0], reduction=False)
    with monkeypatch.context() as full:
        failing_write(full, 0, OSError(errno.EDQUOT, "Disk quota exceeded"))
        with pytest.raises(StorageError, match=r"peaks\.csv: cannot write: Disk quota exceeded"):
            draft.write_result("cam", rows[1], reduction=False)
    draft.write_result("cam", rows[2], reduction=False)
    path = seal(draft, [image("cat"), image("emu")])
    assert verify(path) == []
    assert open_run(path).results["cam"].tables["peaks"]["image"].tolist() == ["cat", "emu"]
