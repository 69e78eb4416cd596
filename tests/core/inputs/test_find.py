from __future__ import annotations

import hashlib
import os
import unicodedata
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from interpretkit.errors import RecipeError
from interpretkit.inputs import find as find_module
from interpretkit.inputs.decode import told_pages
from interpretkit.inputs.find import SAMPLES, find, find_images
from interpretkit.inputs.read import read_image
from interpretkit.inputs.reading import Reading
from interpretkit.recipe.entries import Columns, InputEntry

pages_of = partial(told_pages, readers={})


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
    assert all(
        read_image(each)[1].axes == ("y", "x", "channel")
        for each in find_images([f"sample:{name}" for name in SAMPLES])
    )
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


def test_files_that_only_marks_on_letters_or_their_case_tell_apart_get_other_ids(tmp_path):
    for number, stem in enumerate(["Ärzte", "A\u0308RZTE", "ärzte", "STRASSE", "Straße", "снимок", "СНИМОК"]):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / f"{stem}.png").write_text(stem)
    names = [file.id for file in find_images([str(tmp_path / "*" / "*.png")])]
    assert len({unicodedata.normalize("NFD", name).casefold() for name in names}) == 7
    assert all("-" in name for name in names)


def test_a_file_that_cannot_be_hashed_for_its_id_costs_only_itself(tmp_path, monkeypatch):
    for name in ("a/cat.png", "b/cat.png", "c/cat.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    hashed = find_module.sha256_file

    def refusing(path):
        if path.parent.name == "b":
            raise PermissionError(13, "Permission denied")
        return hashed(path)

    monkeypatch.setattr(find_module, "sha256_file", refusing)
    found = find([str(tmp_path / "*/cat.png")], pages=pages_of)
    assert [file.path.parent.name for file in found.files] == ["a", "c"]
    assert [str(fault) for fault in found.faults] == [
        f"{tmp_path}/b/cat.png: cannot be looked at: Permission denied (check the name and who may read)"
    ]


LAYOUT = ("cat/0.png", "cat/deep/1.JFIF", "dog/2.jpe", "dog/.hidden.png", ".trash/3.png", "4.png", "dog/notes.txt")


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in LAYOUT:
        path = Path("train", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def found(**entry):
    return find([InputEntry(**entry)], pages=pages_of)


@pytest.mark.parametrize("path", ["train", "train/**/*", "./train/**"])
def test_the_folders_of_images_are_their_labels(train, path):
    images = found(path=path, labels="folder")
    assert [(image.id, image.label) for image in images.files] == [("0", "cat"), ("1", "cat"), ("2", "dog")]
    assert images.remarks == (f"{path}: left out 1 image in no folder of a label, 1 .txt",)


def test_the_folders_of_labels_may_be_links_and_circles_end(train):
    Path("elsewhere").mkdir()
    Path("elsewhere/5.png").write_text("5")
    Path("train/elk").symlink_to(Path("elsewhere").resolve())
    Path("train/dog/again").symlink_to(Path("train").resolve())
    images = found(path="train", labels="folder").files
    assert [(image.id, image.label) for image in images] == [("0", "cat"), ("1", "cat"), ("2", "dog"), ("5", "elk")]


def test_a_label_is_in_one_form_of_unicode(tmp_path):
    (tmp_path / "a\u0308").mkdir()
    (tmp_path / "a\u0308" / "0.png").write_text("0")
    assert [file.label for file in found(path=str(tmp_path), labels="folder").files] == ["ä"]


def test_images_that_lie_deeper_are_hinted_at(train, refusal):
    Path("train/4.png").rename("train/list.csv")
    error = refusal(find_images, ["train"])
    assert error.message == "the folder holds no image, but 1 .csv"
    assert error.hint == "there are some deeper: train/**/*.png, or {path: train, labels: folder}"
    assert len(find_images(["train/**/*.png"])) == 1


def test_labels_without_folders_are_refused(train, refusal):
    assert (
        refusal(found, path="train/cat/*.png", labels="folder").message == "no image lies in a folder below train/cat"
    )


def test_what_is_left_out_of_a_folder_is_counted_by_kind(tmp_path):
    names = ["a.jpg", "b.JFIF", "c.jpe", "d.dcm", "e.DCM", "f.heic", "g.txt", "h", "i.npy"]
    for name in [*names, ".DS_Store", "Thumbs.db", "desktop.ini", "._a.jpg"]:
        (tmp_path / name).write_text(name)
    images = found(path=str(tmp_path))
    assert [file.path.name for file in images.files] == ["a.jpg", "b.JFIF", "c.jpe"]
    kinds = "2 .dcm, 1 .heic, 1 .txt, 1 without an ending, 1 .npy"
    assert images.remarks == (f"{tmp_path}: left out {kinds}",)
    globbed = found(path=f"{tmp_path}/*")
    assert [file.path.name for file in globbed.files] == ["a.jpg", "b.JFIF", "c.jpe", "i.npy"]
    assert [file.path.name for file in found(path=f"{tmp_path}/i.npy").files] == ["i.npy"]
    assert found(path=f"{tmp_path}/*.jpg").remarks == ()


def test_an_empty_file_costs_only_itself_unless_it_is_the_only_one(tmp_path, refusal):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").write_text("b")
    os.mkfifo(tmp_path / "c.png")
    names = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for entries in ([str(tmp_path)], names):
        images = find(entries, pages=pages_of)
        assert [file.id for file in images.files] == ["b"]
        assert images.faults[0].message == "is empty"
        assert refusal(find_images, entries).message == "is empty"
    assert refusal(find, names[:1], pages=pages_of).message == "is empty"
    # A name that is mistyped is found out before anything is computed.
    assert "does not exist" in refusal(find, [*names, str(tmp_path / "bb.png")], pages=pages_of).message


def test_what_does_not_fit_an_input_is_refused(train):
    Path("list.csv").write_text("path\ntrain/4.png\n")
    for entry, words in [
        ({"path": "train/4.png", "labels": "folder"}, "is a file, of which nobody can say 'labels'"),
        ({"path": "list.csv", "labels": "folder"}, "is a manifest, of which nobody can say 'labels'"),
        ({"path": "train", "columns": Columns()}, "is a folder, of which nobody can say 'columns'"),
        ({"path": "train/*", "columns": Columns()}, "is a glob, of which nobody can say 'columns'"),
        ({"path": "sample:present", "labels": "folder"}, "is a sample, of which nobody can say 'labels'"),
    ]:
        with pytest.raises(RecipeError, match=words):
            found(**entry)


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """Write a file of three pages."""
    monkeypatch.chdir(tmp_path)
    pages = [Image.new("L", (4, 3), level) for level in (10, 20, 30)]
    pages[0].save("stack.tif", save_all=True, append_images=pages[1:])
    Image.new("L", (4, 3)).save("one.png")
    return tmp_path


def test_a_page_is_chosen_by_its_number(stack, refusal):
    Path("list.csv").write_text("path,label\nstack.tif#1,cat\nstack.tif#3,dog\n")
    images = find(["stack.tif#3", "list.csv", "stack.tif"], pages=pages_of).files
    assert [(image.page, image.source, image.label) for image in images] == [
        (2, "stack.tif#3", None),
        (0, "stack.tif#1", "cat"),
        (2, "stack.tif#3", "dog"),
        (None, "stack.tif", None),
    ]
    assert images[1].id == "stack-p1"
    assert images[0].id.startswith("stack-p3-")
    assert {image.path for image in images} == {Path("stack.tif")}
    error = refusal(find, ["stack.tif#4"], pages=pages_of)
    assert str(error) == "stack.tif#4: there is no page 4 (it has 3 pages)"
    for name, page in (("stack.tif#0", "0"), ("stack.tif#x", "x"), ("stack.tif#", ""), ("stack.tif#1-2", "1-2")):
        error = refusal(find, [name], pages=pages_of)
        what = f"after '#' comes the number of a page, from 1, not '{page}'"
        assert str(error) == f"{name}: {what} (the first page is stack.tif#1)"
    assert "does not exist" in refusal(find, ["gone.tif#1"], pages=pages_of).message
    assert "does not exist" in refusal(find, ["gone.tif#0"], pages=pages_of).message
    Path("list.csv").write_text("path,label\nstack.tif#0,cat\nstack.tif#3,dog\n")
    assert [str(fault) for fault in find(["list.csv"], pages=pages_of).faults] == [
        "list.csv:2: after '#' comes the number of a page, from 1, not '0' (the first page is stack.tif#1)"
    ]


def test_a_file_whose_name_ends_like_a_page_is_that_file(stack):
    Path("stack.tif").rename("stack.tif#3")
    [image] = find(["stack.tif#3"], pages=pages_of).files
    assert (image.page, image.path) == (None, Path("stack.tif#3"))


def test_each_page_becomes_an_image(stack):
    images = find([InputEntry(path="*", pages="each", range=[0, 255], bands=[2, 1])], pages=pages_of).files
    assert [(image.id, image.page, image.source) for image in images] == [
        ("one", None, "one.png"),
        ("stack-p1", 0, "stack.tif#1"),
        ("stack-p2", 1, "stack.tif#2"),
        ("stack-p3", 2, "stack.tif#3"),
    ]
    assert {image.reading for image in images} == {Reading(range=(0, 255), bands=(2, 1), pages="each")}
    assert found(path="stack.tif#2", pages="each").files[0].page == 1
    with pytest.raises(RecipeError, match="is one page, not a volume"):
        found(path="stack.tif#2", pages="volume")


def test_pages_are_read_as_they_were_found(stack):
    entries = [InputEntry(path="stack.tif", pages="each", range=[0, 60]), "stack.tif#2", "stack.tif"]
    read = [read_image(image) for image in find(entries, pages=pages_of).files]
    assert [int(stored.values.max()) for _, stored in read] == [10, 20, 30, 20, 10]
    assert [stored.range for _, stored in read[:3]] == [(0, 60)] * 3
    assert [bool(image.alerts) for image, _ in read] == [False, False, False, False, True]


@pytest.mark.parametrize(("pages", "told"), [("first", False), (None, True)])
def test_who_chooses_the_first_page_is_not_told_of_the_others(stack, pages, told):
    [file] = find([InputEntry(path="stack.tif", pages=pages)], pages=pages_of).files
    image, stored = read_image(file)
    assert bool(image.alerts) is told
    assert int(stored.values.max()) == 10


def test_all_pages_are_a_volume_when_asked(stack):
    [file] = find([InputEntry(path="stack.tif", pages="volume")], pages=pages_of).files
    _, stored = read_image(file)
    assert stored.axes == ("z", "y", "x")
    assert stored.values.max((1, 2)).tolist() == [10, 20, 30]


def test_pages_of_what_is_no_image_are_one(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert pages_of(tmp_path / "a.png", Reading()) == 1


def test_a_glob_does_not_go_round_in_circles(tmp_path):
    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (4, 3)).save(tmp_path / name)
    (tmp_path / "dog" / "loop").symlink_to("..")
    (tmp_path / "dog" / "same").symlink_to(".")
    (tmp_path / "more").symlink_to("cat")
    found = find_images([f"{tmp_path}/**/*.png"])
    assert sorted(file.path.relative_to(tmp_path).as_posix() for file in found) == [
        "cat/a.png",
        "dog/b.png",
    ]


def test_a_path_written_in_two_ways_is_listed_twice_and_labels_that_look_alike_are_one(tmp_path):
    for name in "ab":
        Image.new("L", (4, 3)).save(tmp_path / f"{name}.png")
    listing = tmp_path / "list.csv"
    listing.write_text("path,label\na.png,caf\u00e9\n./a.png,cafe\u0301\nb.png,cafe\u0301\n", encoding="utf-8")
    found = find([str(listing)], pages=lambda path, reading: 1)
    assert [file.label for file in found.files] == ["caf\u00e9"] * 3
    assert any("a.png is listed more than once" in remark for remark in found.remarks)
