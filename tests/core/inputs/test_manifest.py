from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from interpretkit.errors import PluginError
from interpretkit.inputs.decode import told_pages
from interpretkit.inputs.find import find, find_images
from interpretkit.recipe.entries import Columns, InputEntry

pages_of = partial(told_pages, readers={})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.PNG", "a.jpeg", "deep/c.png", "Bär, groß.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (7, 5), "teal").save(name)
    return tmp_path


def found(data, name="list.csv", **columns):
    """Write a manifest and find its images."""
    Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
    asked = InputEntry(path=name, columns=Columns(**columns) if columns else None)
    return find([asked], pages=pages_of)


def rows(images):
    return [(str(image.path), image.label, image.mask and str(image.mask)) for image in images.files]


def test_a_manifest_gives_paths_relative_to_itself_and_labels(folder):
    text = f'path, label ,note\r\n\r\nc.png, "tabby, tiger","a\nb"\r\n{folder / "b.PNG"},  ,\r\n'
    Path("deep/list.CSV").write_text(text, encoding="utf-8-sig", newline="")
    first, second = find_images(["deep/list.CSV"])
    assert (first.path, first.label, first.source) == (Path("deep/c.png"), "tabby, tiger", "deep/c.png")
    assert (second.path, second.label) == (folder / "b.PNG", None)
    assert [dict(image.columns) for image in (first, second)] == [{"note": "a\nb"}, {"note": ""}]


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


# The bytes that each program writes for the same sheet: two columns, and a path with a comma and umlauts.
SHEETS = {
    "LibreOffice, German": "path;label\nBär, groß.png;Bär\na.jpeg;\n;\n".encode(),
    "LibreOffice, every text cell quoted": '"path","label"\n"Bär, groß.png","Bär"\n"a.jpeg",\n'.encode(),
    "Excel, CSV UTF-8, German": b"\xef\xbb\xbf" + "path;label\r\nBär, groß.png;Bär\r\na.jpeg;\r\n;\r\n".encode(),
    "Excel, CSV UTF-8, English": b"\xef\xbb\xbf" + 'path,label\r\n"Bär, groß.png",Bär\r\na.jpeg,\r\n'.encode(),
    "Excel, Unicode text": b"\xff\xfe" + 'path\tlabel\r\n"Bär, groß.png"\tBär\r\na.jpeg\t\r\n'.encode("utf-16-le"),
    "Excel, with its own first line": "sep=;\r\npath;label\r\nBär, groß.png;Bär\r\na.jpeg;\r\n".encode(),
    "Excel, empty cells at the end left out": "path;label\r\nBär, groß.png;Bär\r\na.jpeg\r\n".encode(),
    "Excel, empty columns beside": "path;label;;\r\nBär, groß.png;Bär;;\r\na.jpeg;;;\r\n".encode(),
    "pandas, with an index": ',path,label\n0,"Bär, groß.png",Bär\n1,a.jpeg,\n'.encode(),
}


@pytest.mark.parametrize("sheet", SHEETS)
def test_manifests_are_read_as_spreadsheets_write_them(folder, sheet):
    expected = [("Bär, groß.png", "Bär", None), ("a.jpeg", None, None)]
    assert rows(found(SHEETS[sheet])) == expected
    assert rows(found(SHEETS[sheet], "list.tsv")) == expected
    assert found(SHEETS[sheet]).remarks == ()


def test_a_single_column_may_hold_any_delimiter(folder):
    for name in ("x;y.png", "x\ty.png"):
        Image.new("L", (4, 4)).save(name)
    assert [path for path, _, _ in rows(found('path\nx;y.png\n"x\ty.png"\n'))] == ["x;y.png", "x\ty.png"]


def test_paths_written_on_windows_are_those_of_files_that_are_there(folder):
    images = found("path,mask\ndeep\\c.png,deep\\c.png\n.\\a.jpeg,\n")
    assert rows(images) == [("deep/c.png", None, "deep/c.png"), ("a.jpeg", None, None)]
    Image.new("L", (4, 4)).save("deep\\c.png")
    assert rows(found("path\ndeep\\c.png\n")) == [("deep\\c.png", None, None)]


def test_columns_are_called_as_the_input_says(folder):
    images = found("filename;finding;where\na.jpeg;cat;b.PNG\n", path="filename", label="finding", mask="where")
    assert rows(images) == [("a.jpeg", "cat", "b.PNG")]
    assert rows(found("label,path,class\n3,a.jpeg,cat\n", label="class")) == [("a.jpeg", "cat", None)]
    assert rows(found("label,Datei\n3,a.jpeg\n", path="Datei")) == [("a.jpeg", "3", None)]


@pytest.mark.parametrize(
    ("text", "columns", "message", "hint"),
    [
        ("filename,finding\n", {}, "one column 'path'", "there are filename, finding; say columns: {path: filename}"),
        ("id;image_id;dx\n", {}, "one column 'path'", "there are id, image_id, dx; say columns: {path: image_id}"),
        ("Path,label\n", {}, "one column 'path'", "there are Path, label; say columns: {path: Path}"),
        ("path,finding\n", {"label": "findings"}, "no column 'findings'", "say columns: {label: finding}"),
        ("path,Label\n", {}, "column 'Label' is not read", "write 'label', rename it, or say columns: {label: Label}"),
        ("path,x,x\n", {"label": "x"}, "at most one 'x'", "the first line names"),
    ],
)
def test_columns_that_are_not_there_are_told_with_those_that_are(folder, text, columns, message, *, hint, refusal):
    error = refusal(found, f"{text}a.jpeg,1,2\n", **columns)
    assert message in error.message
    assert hint in error.hint
    assert error.where == "list.csv:1"


@pytest.mark.parametrize(
    ("data", "message", "where"),
    [
        ("path\na.jpeg\n".encode("utf-16-le"), "is UTF-16 without a byte order mark", "list.csv"),
        ("path\na.jpeg\n".encode("utf-16-be"), "is UTF-16 without a byte order mark", "list.csv"),
        ("path\na.jpeg\nBär.png\n".encode("cp1252"), "is not UTF-8 text", "list.csv:3"),
        ("path\na.jpeg\n".encode("utf-16")[:-1], "is not UTF-16 text", "list.csv:2"),
    ],
)
def test_text_of_another_encoding_is_told_by_name(folder, data, message, where, *, refusal):
    error = refusal(found, data)
    assert (error.message, error.where) == (message, where)


def test_a_line_that_is_at_fault_costs_only_itself(folder):
    Path("empty.png").touch()
    lines = ["path,label", "a.jpeg,1", "gone.png,2", "empty.png,3", "b.PNG,4,5", ",6", "deep,7", "b.PNG,8"]
    images = found("\n".join(lines))
    assert rows(images) == [("a.jpeg", "1", None), ("b.PNG", "8", None)]
    assert [fault.where for fault in images.faults] == [f"list.csv:{line}" for line in (3, 4, 5, 6, 7)]
    positions = [position for position, each in enumerate(images.listed) if each in images.files]
    assert positions == [0, 6]


def test_names_like_a_missing_one_are_looked_for_only_so_often(folder):
    images = found("path\n" + "a.jpg\n" * 30 + "a.jpeg\n")
    hints = [fault.hint for fault in images.faults]
    assert hints[:20] == ["did you mean 'a.jpeg'?"] * 20
    assert {hint.partition(" ")[0] for hint in hints[20:]} == {"paths"}


def test_what_is_probably_a_mistake_is_said(folder):
    images = found("path,label\na.jpeg,0.0\nb.PNG,1.0\na.jpeg,cat\ndeep/c.png,2\n")
    assert [image.label for image in images.files] == ["0.0", "1.0", "cat", "2"]
    assert images.remarks == (
        "list.csv: a.jpeg is listed more than once (2, 4)",
        "list.csv: 2 labels such as '0.0': that is no index of a class, but a name",
    )
    assert len({image.id for image in images.files}) == 4


@pytest.mark.parametrize("ending", ["parquet", "feather", "arrow"])
def test_tables_of_arrow_are_read(folder, ending, refusal):
    arrow = pytest.importorskip("pyarrow")
    columns = {"path": ["a.jpeg", "deep/c.png", None, "b.PNG"], "label": [3, 1, 2, None], "x": [[1], [2], [3], [4]]}
    columns["site"], columns["dose"] = ["A ", "B", "B", None], [0.5, 1.0, 2.0, 3.0]
    _write(arrow.table(columns), f"list.{ending}")
    images = find([f"list.{ending}"], pages=pages_of)
    assert rows(images) == [("a.jpeg", "3", None), ("deep/c.png", "1", None), ("b.PNG", None, None)]
    assert [image.columns["site"] for image in images.files] == ["A", "B", ""]
    assert [image.columns["dose"] for image in images.files] == ["0.5", "1.0", "3.0"]
    assert [str(fault) for fault in images.faults] == [
        f"list.{ending}, row 3: the path is empty (name an image, or take the line away)"
    ]
    _write(arrow.table({"image": [{"bytes": b"", "path": "a.jpeg"}], "label": arrow.array([0.5])}), f"list.{ending}")
    entry = InputEntry(path=f"list.{ending}", columns=Columns(path="image"))
    assert "the path is no text but a dict" in refusal(find, [entry], pages=pages_of).message
    Path(f"list.{ending}").write_bytes(b"no table")
    assert "cannot be read" in refusal(find, [f"list.{ending}"], pages=pages_of).message


def _write(table, name):
    if name.endswith("parquet"):
        importlib.import_module("pyarrow.parquet").write_table(table, name)
    elif name.endswith("feather"):
        importlib.import_module("pyarrow.feather").write_feather(table, name)
    else:
        arrow = importlib.import_module("pyarrow")
        with arrow.OSFile(name, "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)


def test_without_pyarrow_the_error_names_the_extra(folder, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    Path("list.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(PluginError) as caught:
        find(["list.parquet"], pages=pages_of)
    assert str(caught.value).startswith("list.parquet: .parquet needs pyarrow (pip install 'interpretkit[parquet]'")
