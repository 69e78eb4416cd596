from __future__ import annotations

import numpy as np
import pytest

from interpretkit.figures.text import labels_of, legible, paragraph, width_of, wrap

LONG = "Grad-CAM of stage4 for ‘military uniform’ against ‘suit of clothes’, averaged " * 3


@pytest.mark.parametrize("text", [LONG, "x" * 500, "a\nb  c\n\n", "tab\tand\x07bell", "", "图像 ☃ " * 40])
def test_wrapped_text_fits_and_loses_nothing(text):
    lines = wrap(text, points=12, width=100)
    assert all(width_of(line, 12) <= 100 for line in lines)
    letters = "".join(character for character in text if character.isprintable() and character != " ")
    assert "".join(lines).replace(" ", "") == letters.replace("图", r"\u56fe").replace("像", r"\u50cf")


def test_accents_that_stand_alone_are_put_on_their_letters():
    apart, whole = "Cafe\u0301", "Caf\u00e9"
    assert legible(apart) == whole
    np.testing.assert_array_equal(paragraph(apart, width=200), paragraph(whole, width=200))


@pytest.mark.parametrize(
    ("text", "written"), [("猫", r"\u732b"), ("बिल्ली"[0], r"\u092c"), ("Ωж−≥é", "Ωж−≥é"), ("𠮷", r"\U00020bb7")]
)
def test_no_character_is_drawn_as_an_empty_box(text, written):
    assert legible(text) == written
    np.testing.assert_array_equal(paragraph(text, width=300), paragraph(written, width=300))
    np.testing.assert_array_equal(labels_of([text]), labels_of([written]))
