from __future__ import annotations

import pytest

import interpretkit as ik


def test_tables_are_mappings_of_columns():
    table = ik.Table(channel=[0, 1], mean=[0.5, 0.25])
    assert list(table) == ["channel", "mean"]
    assert dict(table)["mean"].tolist() == [0.5, 0.25]
    assert "mean" in table
    assert len(table) == 2


def test_a_table_is_a_data_frame_where_pandas_is():
    pandas = pytest.importorskip("pandas")
    frame = ik.Table(channel=[0, 1], name=["a", "b"]).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["name"].tolist() == ["a", "b"]


def test_rows_become_a_table_and_come_back_as_they_were():
    rows = [{"name": "a", "mean": 0.1 + 0.2}, {"name": "日本", "mean": float("inf")}]
    table = ik.Table.of_rows(rows)
    assert [dict(zip(table, row, strict=True)) for row in table.rows()] == rows
    assert list(ik.Table().rows()) == []


@pytest.mark.parametrize("values", [(1,), (3, 1), (7,), ()])
def test_chosen_rows_are_those_of_a_loop_in_their_order(values):
    numbers, texts = [3, 1, 2, 1, 3], ["a", "b", "c", "d", "e"]
    found = ik.Table(number=numbers, text=texts).where("number", *values)
    assert list(found.rows()) == [row for row in zip(numbers, texts, strict=True) if row[0] in values]


def test_stacked_tables_hold_the_rows_of_each_in_turn():
    parts = [ik.Table(n=[1, 2], t=["a", "b"]), ik.Table(n=[], t=[]), ik.Table(n=[3], t=["c"])]
    assert list(ik.Table.stacked(parts).rows()) == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("columns", [{"a": [1], "b": [1, 2]}, {"a": 3}, {"a": [[1]]}])
def test_columns_that_make_no_table_are_refused(columns):
    with pytest.raises(ValueError, match="column"):
        ik.Table(columns)
