"""What may be offered: classes that are refused for what is particular to their kind."""

from __future__ import annotations

import pytest

import interpretkit as ik
from interpretkit.contracts.kinds import CHECK, VISUALIZER

KNOWN = "there are attribution, features, scores, statistics, comparison, exemplars"


class Seen(ik.Visualizer):
    """A visualizer."""

    name = "seen"

    def compute(self, captured):
        return ik.Result()


class Judged(ik.Check):
    """A check."""

    name = "judged"
    judges = ("attribution",)

    def judge(self, result):
        return ik.Verdict(status="pass", figure=0, threshold=0, text="")


@pytest.mark.parametrize(
    ("kind", "base", "attribute", "value", "word"),
    [
        (VISUALIZER, Seen, "yields", "attributoin", "attributoin"),
        (VISUALIZER, Seen, "reads", ik.Reads("attribution", "maps"), "maps"),
        (CHECK, Judged, "judges", ("attribution", "score"), "score"),
    ],
)
def test_words_for_what_steps_yield_are_those_that_there_are(*, kind, base, attribute, value, word):
    assert kind.admit(base) is base
    with pytest.raises(TypeError) as refused:
        kind.admit(type("Offered", (base,), {attribute: value}))
    assert str(refused.value) == f"Offered.{attribute} has {word!r}; {KNOWN}"
