from __future__ import annotations

import math

import pytest
import yaml

from interpretkit.errors import RecipeError
from interpretkit.recipe import yaml12
from interpretkit.recipe.read import parse_setting
from interpretkit.recipe.yaml12 import dump, dump_inline


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("-1.5E+3", -1500.0), (".5", 0.5), ("5.", 5.0), (".inf", math.inf), ("-.INF", -math.inf),
        ("+.inf", math.inf), ("010", 10), ("-08", -8), ("0o17", 15), ("0x1F", 31), ("0b1", "0b1"), ("1_000", "1_000"),
        ("12:30", "12:30"), ("2001-01-01", "2001-01-01"), ("on", "on"), ("no", "no"), ("Yes", "Yes"), ("True", True),
        ("FALSE", False), ("tRUE", "tRUE"), ("~", None), ("Null", None), ("nULL", "nULL"), ("'7'", "7"), ('"~"', "~"),
        ("|\n  7\n", "7\n"), ("e3", "e3"), (".", "."), ("0o8", "0o8"), ("٣", "٣"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_read_by_the_rules_of_yaml_1_2(text, value):
    read = yaml12.parse(f"key: {text}", source="x").plain()["key"]
    assert (type(read), read) == (type(value), value)


def test_nan_is_read_as_a_number():
    assert math.isnan(yaml12.parse(".NaN", source="x").plain())


def _bomb(levels: int) -> str:
    """Ten aliases in each level: 10 ** levels leaves, and a few nodes more."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_nodes_are_counted_with_aliases_expanded_before_anything_is_made_of_them(monkeypatch):
    made = []
    node = yaml12.Node
    monkeypatch.setattr(yaml12, "Node", lambda *parts: made.append(parts) or node(*parts))
    with pytest.raises(RecipeError, match=r"more than 10,000 nodes") as caught:
        yaml12.parse(_bomb(9), source="x")
    assert caught.value.where == "x:4:45"  # 1,239 nodes before, and 1,111 in each alias: the 8th goes beyond
    assert made == []
    small = yaml12.parse(_bomb(3), source="x").plain()
    assert small["l2"] == [[["x"] * 10] * 10] * 10


@pytest.mark.parametrize("alias", [False, True])
def test_10000_nodes_and_64_levels_are_read_and_one_more_is_not(alias):
    def many(nodes: int) -> str:
        return f"[&a [{'x,' * 4000}], *a, {'x,' * (nodes - 8003)}]" if alias else f"[{'x,' * (nodes - 1)}]"

    def deep(levels: int) -> str:
        more = levels - 31
        return (
            f"[&a {'[' * 31}{']' * 31}, {'[' * (more - 1)}*a{']' * (more - 1)}]"
            if alias
            else "[" * levels + "]" * levels
        )

    for allowed, too_much in [(many(10_000), many(10_001)), (deep(64), deep(65))]:
        assert yaml12.parse(allowed, source="x") is not None
        with pytest.raises(RecipeError, match=r"more than (10,000 nodes|64 levels)"):
            yaml12.parse(too_much, source="x")


TRICKY = [
    "", " ", "~", "null", "on", "No", "y", "true", "010", "0o17", "0x1F", "1e-3", "1.", ".5", "-.inf", ".nan", "12:30",
    "190:20:30", "2001-01-01", "1_000", "<<", "=", "-", "- a", "? a", "a: b", "a:", "a #b", "#a", "*", "*a", "&a", "!a",
    "%a", "@a", "`a", "'", '"', "it's", "{", "[", "]", ",", "|", ">", "---", "...", "a ", " a", "a\n", "\na", "a\nb",
    "a \n b", "\t", "a\tb", "a\r\nb", "\u2028", "a\x85", "\xa0", "\ufeff", "\0", "\x07", "é", "日本", "😀", "\\",
    "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", TRICKY)
def test_what_dump_writes_reads_back_the_same_by_the_rules_of_both_versions(text):
    data = {"value": text, text: [text, {"in": text}], "last": [1, 0.5, True, None, {}, []]}
    written = dump(data)
    for back in (yaml12.parse(written, source="x").plain(), yaml.safe_load(written)):
        assert back == data
        assert list(back) == list(data)
    assert parse_setting(f"key={dump_inline(data)}", 1) == ("key", data)
    assert len(dump_inline(data).splitlines()) == 1


@pytest.mark.parametrize("number", [1e-5, 1e20, 0.1, -0.0, 5e-324, math.inf, -math.inf, 10**50, -3, True])
def test_dump_keeps_numbers_to_the_bit(number):
    back = yaml12.parse(dump({"n": number}), source="x").plain()["n"]
    assert (type(back), repr(back)) == (type(number), repr(number))


def test_dump_keeps_letters_of_all_scripts_readable():
    assert dump({"name": "Grace 日本 é", "b": "on", "a": 1}) == "name: Grace 日本 é\nb: 'on'\na: 1\n"
