from __future__ import annotations

import pytest

from interpretkit.figures.text import width_of, wrap

LONG = "Grad-CAM of stage4 for ‘military uniform’ against ‘suit of clothes’, averaged " * 3


@pytest.mark.parametrize("text", [LONG, "x" * 500, "a\nb  c\n\n", "tab\tand\x07bell", "", "图像 ☃ " * 40])
def test_wrapped_text_fits_and_loses_nothing(text):
    lines = wrap(text, points=12, width=100)
    assert all(width_of(line, 12) <= 100 for line in lines)
    letters = "".join(character for character in text if character.isprintable() and character != " ")
    assert "".join(lines).replace(" ", "") == letters
