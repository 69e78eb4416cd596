from __future__ import annotations

import csv
import io
import os

import numpy as np
import pytest

from interpretkit.errors import StepError, StorageError
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.runs.draft import create
from interpretkit.runs.run import open_run

TEXTS = [
    "a,b",
    'say "x"',
    "two\nlines",
    "only\rreturn",
    "crlf\r\n",
    "",
    " blank ",
    "日本 🐈",
    "nan",
    "True",
    "1e5",
    "a\0b",
]


FLOATS = [1e-300, 0.1 + 0.2, np.inf, -np.inf, np.nan, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 2.0, 1e16, 1e22]


@pytest.mark.parametrize(
    "column",
    [
        np.array(TEXTS),
        np.array(FLOATS),
        np.array(FLOATS[:6], np.float32),
        np.array([2**63 - 1, -(2**63), 2**53 + 1]),
        np.array([2**64 - 1], np.uint64),
        np.array([True, False]),
        np.array([], np.float32),
        np.array([""]),
    ],
    ids=["text", "float64", "float32", "int64", "uint64", "bool", "none", "empty"],
)
def test_a_column_reads_back_bit_for_bit(tmp_path, column, stored, assert_same):
    found = stored(tmp_path, Result(tables={"table": Table({'odd, "name"\n': column})}), reduction=True)
    assert_same(found.results["step"].tables["table"]['odd, "name"\n'], column)


def test_a_table_is_a_csv_file_that_anybody_reads(tmp_path, stored):
    table = Table(text=TEXTS, number=FLOATS)
    path = stored(tmp_path, Result(tables={"table": table}), reduction=True).path / "results/step/table.csv"
    data = path.read_bytes()
    assert data.startswith(b'"text","number"\n"a,b",1e-300\n"say ""x""",0.30000000000000004\n')
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert [row[0] for row in rows[1:]] == TEXTS


def test_a_table_is_read_once_for_all_images_and_its_rows_for_each(tmp_path, monkeypatch, *, image, begun, seal):
    odd = ["a\nb", "a,b", 'say "x"', "only\rreturn", "crlf\r\n", "日本"]
    batches = [[("b", 1.0, odd[0]), ("a", 2.0, odd[1]), ("b", 3.0, odd[2])], [("a", 4.0, odd[3]), ("c", 5.0, odd[4])]]
    draft = begun(tmp_path, "step")
    for rows in batches:
        columns = dict(zip(("image", "peak", "text"), zip(*rows, strict=True), strict=True))
        draft.write_result("step", Result(tables={"peaks": Table(columns)}), reduction=False)
    images = tuple(image(name) for name in ("a", "b", "c", "d"))
    found = open_run(seal(draft, images))
    whole = found.results["step"].tables["peaks"]
    reads = []
    read_bytes = type(tmp_path).read_bytes
    monkeypatch.setattr(type(tmp_path), "read_bytes", lambda path: reads.append(path.name) or read_bytes(path))
    for _ in range(2):
        for name in ("a", "b", "c", "d"):
            part, expected = found.result("step", image=name).tables["peaks"], whole.where("image", name)
            assert list(part.rows()) == list(expected.rows())
            assert [column.dtype.kind for column in part.columns.values()] == ["U", "f", "U"]
    assert reads == ["peaks.csv"]
    path = found.path / "results" / "step" / "peaks.csv"
    path.write_text(path.read_text().replace("5.0", "6.5"))
    os.utime(path, (1, 1))
    with pytest.raises(StorageError, match=r"peaks\.csv differs"):
        found.result("step", image="a").tables["peaks"]


def test_an_empty_batch_does_not_decide_the_dtype_of_a_column(tmp_path, stored):
    tables = [Table(image=[], peak=[]), Table(image=["cat"], peak=[3]), Table(image=[], peak=[])]
    found = stored(tmp_path, *(Result(tables={"peaks": table}) for table in tables)).results["step"].tables["peaks"]
    assert (found["image"].tolist(), found["peak"].tolist(), found["peak"].dtype) == (["cat"], [3], np.int64)


def test_integers_and_floats_of_two_batches_make_a_column_of_floats(tmp_path, stored, assert_same):
    tables = [Table(image=["cat"], peak=[3]), Table(image=["dog"], peak=[0.5])]
    found = stored(tmp_path, *(Result(tables={"peaks": table}) for table in tables)).results["step"].tables["peaks"]
    assert_same(found["peak"], np.array([3.0, 0.5]))


@pytest.mark.parametrize(
    "second", [Table(image=["b"], peak=["high"]), Table(image=["b"], peak=[True]), Table(image=["b"]), Table(peak=[1])]
)
def test_the_columns_of_a_table_are_those_of_its_first_batch(tmp_path, second):
    draft = create(tmp_path, "small")
    draft.write_result("step", Result(tables={"peaks": Table(image=["a"], peak=[1])}), reduction=False)
    with pytest.raises(StepError, match="table 'peaks'"):
        draft.write_result("step", Result(tables={"peaks": second}), reduction=False)
