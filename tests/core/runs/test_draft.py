from __future__ import annotations

import secrets
import signal
import subprocess
import sys

import numpy as np
import pytest

from interpretkit.errors import RecipeError, StepError, StorageError
from interpretkit.results.image import InputImage
from interpretkit.results.map import Map
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.runs.draft import create
from interpretkit.runs.run import open_run
from interpretkit.runs.verify import verify

A = InputImage(id="a", source="a.jpg", sha256="00", size=(4, 5))
WHOLE = {"mean": Map(values=np.eye(3), dims=("y", "x"), layer="stage4", extent={"y": 32, "x": 32}, polarity="signed")}


def cam(values):
    return Map(values=values, dims=("image", "y", "x"), layer="stage4", extent={"y": 32, "x": 32}, polarity="signed")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Result(maps={"m": cam(np.zeros((1, 2, 2), complex))}, images=(A,)), "map 'm': dtype complex128"),
        (Result(maps={"m": cam(np.zeros((1, 2, 2), object))}, images=(A,)), "map 'm': dtype object"),
        (Result(maps={"m": cam(np.zeros((2, 2, 2)))}, images=(A,)), r"dims \(image 2, y 2, x 2\).*length 1"),
        (Result(maps=WHOLE, images=(A,)), r"map 'mean' has dims \(y 3, x 3\)"),
        (Result(tables={"t": Table(image=["a"], what=[None])}), "table 't', column 'what': dtype object"),
        (Result(tables={"t": Table(image=["a" * 131_073])}), "table 't', column 'image': dtype <U131073"),
        (Result(tables={"t": Table(what=[1])}), "table 't' has no column 'image'"),
        (Result(tables={"../t": Table(image=["a"])}), r"'\.\./t' cannot name a file"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name_before_anything_is_written(tmp_path, result, message):
    draft = create(tmp_path, "small")
    with pytest.raises(StepError, match=message):
        draft.write_result("step", result, reduction=False)
    assert list(draft.path.rglob("*")) == []


def test_a_table_of_the_whole_set_is_written_once(tmp_path):
    draft = create(tmp_path, "small")
    result = Result(tables={"channels": Table(channel=[0, 1], mean=[0.5, np.nan])})
    draft.write_result("statistics", result, reduction=True)
    with pytest.raises(StepError, match="'channels' of the whole set is stored already"):
        draft.write_result("statistics", result, reduction=True)


def test_a_draft_is_hidden_until_it_is_sealed_and_gone_when_it_is_abandoned(tmp_path, begun, seal):
    draft = begun(tmp_path / "new" / "runs")
    assert [each.name for each in draft.path.parent.iterdir()] == [f".{draft.id}.partial"]
    path = seal(draft, status="interrupted")
    assert [each.name for each in path.parent.iterdir()] == [path.name] == [draft.id]
    assert (open_run(path).status, open_run(path).manifest["id"]) == ("interrupted", draft.id)
    abandoned = create(path.parent, "small")
    abandoned.write_text("recipe.yaml", "")
    abandoned.abandon()
    assert list(path.parent.iterdir()) == [path]


def test_drafts_of_the_same_second_and_the_same_digits_do_not_collide(tmp_path, monkeypatch, begun, seal):
    digits = iter(["aaaaaa", "aaaaaa", "bbbbbb", "bbbbbb", "cccccc"])
    monkeypatch.setattr(secrets, "token_hex", lambda _count: next(digits))
    monkeypatch.setattr("interpretkit.runs.draft.datetime", FrozenTime)
    first = create(tmp_path, "small")
    second = seal(begun(tmp_path))
    third = create(tmp_path, "small")
    ends = [first.id[-6:], second.name[-6:], third.id[-6:]]
    assert ends == ["aaaaaa", "bbbbbb", "cccccc"]
    assert set(tmp_path.iterdir()) == {first.path, second, third.path}


class FrozenTime:
    @staticmethod
    def now(tz):
        from datetime import datetime

        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=tz)


@pytest.mark.parametrize("parent", ["file", "file/below", "nul\0", "x" * 300])
def test_a_parent_that_cannot_be_written_to_is_named(tmp_path, parent):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make a run directory") as caught:
        create(tmp_path / parent, "small")
    assert caught.value.exit_code == 6
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_folder_of_runs_that_is_itself_a_link_is_the_users_choice(tmp_path, make_run):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    assert verify(make_run(tmp_path / "runs")) == []


def test_kill_9_leaves_nothing_that_looks_like_a_run(tmp_path, make_run):
    script = """if True:
        import itertools, sys
        from pathlib import Path
        from interpretkit.runs.draft import create
        draft = create(Path(sys.argv[1]), "killed")
        for count in itertools.count():
            draft.write_text(f"results/{count}.txt", "x" * 200_000)
            if count == 20:
                print("writing", flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(".killed-")
    assert not (partial / "manifest.json").exists()
    with pytest.raises(RecipeError, match="never finished"):
        open_run(partial)
    assert verify(make_run(tmp_path)) == []


def test_runs_are_written_and_read_without_torch():
    imports = "import sys, interpretkit.runs.draft, interpretkit.runs.verify"
    script = f"{imports}; print({{'torch', 'matplotlib', 'PIL'}} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "set()"
