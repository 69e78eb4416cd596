from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from interpretkit.inputs.find import find_images
from interpretkit.inputs.ids import ending_in, fit_for_a_file_name


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("plain-1.2_3", "plain-1.2_3"),
        ("two words", "two_words"),
        ("line\nbreak", "line_break"),
        ("Grüße", "Grüße"),
        ("Gru\u0308ße", "Grüße"),
        ("снимок №7", "снимок_7"),
        ("प्रतिमा", "प्रतिमा"),
        ("صورة ١", "صورة_١"),
        ("\u0301a", "_\u0301a"),
        ("❤\ufe0f", "_"),
        ("COM¹", "_COM¹"),
        ("猫🐈", "猫_"),
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
        ("猫" * 30, "猫" * 26),
        ("y" * 77 + "कि", "y" * 77),
        ("y" * 74 + "किक", "y" * 74 + "कि"),
    ],
)
def test_names_are_fit_for_files(stem, expected):
    assert fit_for_a_file_name(stem) == expected


def test_an_ending_stays_whole_and_no_letter_loses_its_marks():
    assert ending_in("-p3", "कि" * 20) == "कि" * 12 + "-p3"
    assert ending_in("-p3", "\u0301" * 60) == "-p3"


SCRIPTS = (
    *("abcXYZ", "éßñÅ", "снимокЖ", "λμΣς", "猫狗山", "ねこネコ"),
    *("고양이", "प्रतिमाकि", "صورةقط", "תמונה", "ภาพแมว", "İıſK"),
)
ODD = (" ", ".", "-", "_", "\n", ":", "*", "\\", "\u0301", "\u200d", "\ufe0f", "🐈", "\u202e", "\udcff", "١", "²")


def test_ids_of_1500_names_of_all_scripts_are_unique_short_and_portable(tmp_path):
    generator = np.random.default_rng(1)
    made = set()
    while len(made) < 1500:
        number = len(made)
        letters = list(SCRIPTS[number % len(SCRIPTS)]) + (list(ODD) if number % 3 == 0 else [])
        stem = "".join(generator.choice(letters, generator.choice([1, 2, 3, 20, 60])))
        folder = tmp_path / str(number % 7)
        folder.mkdir(exist_ok=True)
        path = folder / f"{stem}.png"
        if len(path.name.encode(errors="replace")) < 255:
            path.write_bytes(bytes([number % 5]))
            made.add(path)
    names = [file.id for file in find_images([str(tmp_path / "*/*.png"), *map(str, tmp_path.glob("*/.*.png"))])]
    forms = {form: {unicodedata.normalize(form, name).casefold() for name in names} for form in ("NFC", "NFD")}
    assert len(forms["NFC"]) == len(forms["NFD"]) == len({name.upper() for name in names}) == len(names) == 1500
    for name in names:
        assert len(name.encode()) <= 80
        assert unicodedata.is_normalized("NFC", name)
        assert name[0] not in ".-"
        assert name[-1] != "."
        assert unicodedata.category(name[0])[0] != "M"
        assert not {*name} & {*'<>:"/\\|?* \0'}
        assert name.isprintable()
