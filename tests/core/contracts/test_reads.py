from __future__ import annotations

import pytest

from interpretkit.contracts.reads import Reads


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (1, None, "at least 1 earlier step that yields scores"),
        (2, None, "at least 2 earlier steps that yield scores"),
        (0, None, "any number of earlier steps that yield scores"),
        (0, 1, "at most 1 earlier step that yields scores"),
        (2, 3, "2 to 3 earlier steps that yield scores"),
    ],
)
def test_how_many_steps_are_read_is_said_in_words_that_agree(least, most, text):
    assert str(Reads("scores", least=least, most=most)) == text


def test_what_is_read_is_said_with_its_alternatives_and_its_target():
    reads = Reads("attribution", "features", least=2, same_target=True)
    assert str(reads) == "at least 2 earlier steps that yield attribution or features, of the same target"
    assert reads != Reads("attribution", "features", least=2)
