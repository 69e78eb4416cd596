from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interpretkit.inputs.find import SAMPLES, find_images
from interpretkit.inputs.read import read_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "deep/c.png", "deep/x[1].png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (7, 5), "teal").save(name)
    Path("notes.txt").write_text("no image")
    Path("folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (["b.PNG"], ["b.PNG"]),
        (["."], ["a.jpeg", "b.PNG"]),
        (["deep", "a.jpeg"], ["deep/c.png", "deep/x[1].png", "a.jpeg"]),
        (["*"], ["a.jpeg", "b.PNG"]),
        (["?.[Pp]*"], ["b.PNG"]),
        (["**/*.png"], ["deep/c.png", "deep/x[1].png"]),
        (["**"], ["a.jpeg", "b.PNG", "deep/c.png", "deep/x[1].png"]),
        (["deep/x[1].png"], ["deep/x[1].png"]),
    ],
)
def test_files_folders_and_patterns_give_visible_images_in_order(folder, entries, found):
    files = find_images(entries)
    assert [file.source for file in files] == found
    assert [file.path for file in files] == [Path(name) for name in found]


def test_the_sample_is_matplotlibs_and_keeps_its_name(refusal):
    [file] = find_images(["sample:grace_hopper"])
    assert (file.id, file.source, file.path.name) == ("grace_hopper", "sample:grace_hopper", "grace_hopper.jpg")
    assert all(read_image(each)[1].mode == "RGB" for each in find_images([f"sample:{name}" for name in SAMPLES]))
    error = refusal(find_images, ["sample:grace_hoper"])
    assert error.hint == "did you mean 'grace_hopper'?"
    assert error.where == "sample:grace_hoper"


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("bb.PNG", "does not exist", "did you mean 'b.PNG'"),
        ("b.PNG/inside", "does not exist", "relative"),
        ("nowhere/*.png", "the pattern matches no image", ".png"),
        ("*.txt", "the pattern matches no image", ".png"),
        ("bare", "the folder holds no image", ".png"),
        ("bare/empty", "is empty", "anew"),
        ("pipe.png", "is no regular file", "name a file"),
        ("pipes", "is no regular file", "name a file"),
        ("/dev/zero", "is no regular file", "name a file"),
        ("link-to-nothing", "does not exist", "relative"),
        ("nul\0.png", "cannot be looked at: embedded null byte", "name"),
        ("x" * 300, "cannot be looked at: File name too long", "name"),
        ("", "an empty name", "this folder"),
    ],
)
def test_what_is_no_file_is_refused_without_opening_it(folder, entry, message, hint, *, refusal):
    Path("bare").mkdir()
    Path("bare/empty").touch()
    Path("pipes").mkdir()
    os.mkfifo("pipe.png")
    os.mkfifo("pipes/pipe.png")
    Path("link-to-nothing").symlink_to("gone")
    error = refusal(find_images, [entry])
    assert message in error.message
    assert hint in error.hint
    assert error.where == {"pipes": "pipes/pipe.png", "nul\0.png": "nul\\x00.png"}.get(entry, entry)


def test_no_entry_at_all_is_refused(refusal):
    assert "no images" in refusal(find_images, []).message


def test_a_manifest_gives_paths_relative_to_itself_and_labels(folder):
    text = f'path, label ,note\r\n\r\nc.png, "tabby, tiger","a\nb"\r\n{folder / "b.PNG"},  ,\r\n'
    Path("deep/list.CSV").write_text(text, encoding="utf-8-sig", newline="")
    first, second = find_images(["deep/list.CSV"])
    assert (first.path, first.label, first.source) == (Path("deep/c.png"), "tabby, tiger", "deep/c.png")
    assert (second.path, second.label) == (folder / "b.PNG", None)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"file,label\na.jpeg,1\n", ":1", "one column 'path'"),
        (b"path,path\na.jpeg,1\n", ":1", "one column 'path'"),
        (b"path,mask,mask\na.jpeg,1,1\n", ":1", "at most one 'mask'"),
        (b"path,masks\na.jpeg,\n", ":1", "column 'masks' is not read"),
        (b"path,Label\na.jpeg,1\n", ":1", "column 'Label' is not read"),
        (b"path,lable,mask\na.jpeg,1,\n", ":1", "column 'lable' is not read"),
        (b"path,mask\na.jpeg,\nb.PNG,gone.png\n", ":3", "gone.png does not exist"),
        (b"path,mask\na.jpeg,deep\n", ":2", "deep is a folder, not an image"),
        (b"path,mask\na.jpeg,empty.png\n", ":2", "empty.png is empty"),
        (b"path\n", "", "lists no image"),
        (b"\n\n", ":1", "one column 'path'"),
        (b"path,label\na.jpeg,1\n\nb.PNG,1,2\n", ":4", "3 cells, but the first line names 2"),
        (b"path,label\na.jpeg,1\n,2\n", ":3", "the path is empty"),
        (b"path\na.jpeg\na.jpg\n", ":3", "a.jpg does not exist"),
        (b"path\ndeep\n", ":2", "deep is a folder, not an image"),
        (b"path\nempty.png\n", ":2", "empty.png is empty"),
        (b'path\na.jpeg\n"a"b\n', ":3", "is not CSV"),
        (b"path\na.jpeg\n\xff\xfe\n", ":3", "is not UTF-8 text"),
        (b"path\na.jpeg\na\0b\n", ":3", "embedded null byte"),
    ],
)
def test_an_error_in_a_manifest_names_its_line(folder, text, line, message, *, refusal):
    Path("empty.png").touch()
    Path("list.csv").write_bytes(text)
    error = refusal(find_images, ["list.csv"])
    assert error.where == f"list.csv{line}"
    assert message in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("plain-1.2_3", "plain-1.2_3"),
        ("two words", "two_words"),
        ("line\nbreak", "line_break"),
        ("Grüße", "Gru_e"),
        ("Gru\u0308ße", "Gru_e"),
        ("猫🐈", "_"),
        ("..-dots", "dots"),
        ("---", "image"),
        ("dots..", "dots"),
        ("CON", "_CON"),
        ("nul.tar", "_nul.tar"),
        ("com1", "_com1"),
        ("console", "console"),
        ("C:\\x", "C_x"),
        ("y" * 80, "y" * 80),
        ("y" * 81, "y" * 80),
        ("y" * 79 + ".z", "y" * 79),
    ],
)
def test_ids_are_fit_for_file_names(tmp_path, stem, expected):
    path = tmp_path / f"{stem}.png"
    path.write_bytes(b"x")
    assert [file.id for file in find_images([str(path)])] == [expected]


def test_ids_that_would_collide_are_all_marked_with_the_hash_of_their_file(tmp_path):
    contents = {"a/cat.png": b"1", "a/dog.png": b"2", "b/Cat.jpg": b"3", "b/cat.png": b"1"}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    one, three = (hashlib.sha256(content).hexdigest()[:8] for content in (b"1", b"3"))
    names = [str(tmp_path / name) for name in contents]
    assert [file.id for file in find_images(names)] == [f"cat-{one}", "dog", f"Cat-{three}", f"cat-{one}-2"]
    assert {file.id for file in find_images(names[::-1])} == {f"cat-{one}", "dog", f"Cat-{three}", f"cat-{one}-2"}
    # A file that bears the marked name already keeps it.
    (tmp_path / f"CAT-{one}.png").write_bytes(b"4")
    ids = [file.id for file in find_images([*names, str(tmp_path / f"CAT-{one}.png")])]
    assert ids == [f"cat-{one}-2", "dog", f"Cat-{three}", f"cat-{one}-3", f"CAT-{one}"]


def test_ids_that_are_cut_to_the_same_are_marked_and_stay_short(tmp_path):
    for ending in ("1", "2"):
        (tmp_path / f"{'y' * 99}{ending}.png").write_text(ending)
    expected = {"y" * 71 + "-" + hashlib.sha256(ending).hexdigest()[:8] for ending in (b"1", b"2")}
    assert {file.id for file in find_images([str(tmp_path)])} == expected


def test_ids_of_any_names_are_unique_short_and_portable(tmp_path):
    generator = np.random.default_rng(1)
    alphabet = list("aAéß.-_ ~\n:\\*猫\u202e\udcff")
    for number in range(400):
        stem = "".join(generator.choice(alphabet, generator.choice([1, 2, 3, 60])))
        (tmp_path / f"{stem}.png").write_bytes(bytes([number % 7]))
    ids = [file.id for file in find_images([str(each) for each in tmp_path.iterdir()])]
    assert len({name.lower() for name in ids}) == len(ids) > 300
    assert all(re.fullmatch(r"(?![.-])[A-Za-z0-9._-]{1,80}(?<!\.)", name) for name in ids)
