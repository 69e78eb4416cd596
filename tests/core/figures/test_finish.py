from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from interpretkit import figures
from interpretkit.figures.text import wrap

LONG = "Grad-CAM of stage4 for ‘military uniform’ against ‘suit of clothes’, averaged " * 3


STAMPED = {
    "grid": lambda: figures.grid(
        np.random.default_rng(0).random((64, 9, 9)),
        title="stage4",
        labels=[str(k) for k in range(64)],
        scope="layer",
        polarity="unsigned",
    ),
    "photo": lambda: figures.photo(np.full((50, 60, 3), 77, np.uint8), title="t"),
    "foreign palette": lambda: Image.radial_gradient("L").convert("RGB").quantize(11),
    "narrow": lambda: Image.new("RGB", (30, 20), "navy"),
    "translucent": lambda: Image.new("RGBA", (400, 20), (0, 0, 0, 0)),
}


@pytest.mark.parametrize("what", STAMPED)
@pytest.mark.parametrize("alert", ["", LONG])
def test_a_stamp_keeps_the_body_and_its_mode_and_grows_by_as_many_lines_as_it_needs(what, alert):
    picture = STAMPED[what]()
    stamped = figures.stamp(picture, ["model repvgg", LONG + "x" * 300], alert=alert)
    assert stamped.mode == ("P" if picture.mode == "P" else "RGB")
    assert stamped.width == max(picture.width, 320)
    colours = np.asarray(stamped.convert("RGB")).astype(int)
    amber = (np.abs(colours - [255, 193, 7]).sum(-1) < (300 if what == "foreign palette" else 1))[:, 2]
    top = int(np.flatnonzero(amber)[-1]) + 1 if alert and what != "foreign palette" else None
    if top is None:
        top = figures.stamp(picture, [], alert=alert).height - picture.height
    assert (top > 0) == bool(alert)
    flat = picture.convert("RGB") if picture.mode != "RGBA" else Image.new("RGB", picture.size, "white")
    assert np.array_equal(colours[top : top + picture.height, : picture.width], np.asarray(flat))
    if picture.mode == "P":
        assert stamped.getpalette()[: 3 * 11] == picture.getpalette()[: 3 * 11]
        assert np.array_equal(np.asarray(stamped)[top : top + picture.height, : picture.width], np.asarray(picture))
    lines = wrap(LONG + "x" * 300, points=12, width=stamped.width - 24)
    assert stamped.height - top - picture.height == 12 + 15 * (1 + len(lines))


def test_panels_in_rows_have_columns_as_wide_as_their_widest():
    colours = ["red", "lime", "blue"]
    sizes = [(30, 20), (40, 10), (50, 5)]
    pictures = [Image.new("RGB", size, colour) for size, colour in zip(sizes, colours, strict=True)]
    sheet = figures.panels(pictures, columns=2)
    assert sheet.size == (50 + 40, 20 + 5)
    assert [sheet.getpixel(place) for place in ((0, 0), (50, 0), (0, 20))] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]
    assert sheet.getpixel((50, 20)) == (255, 255, 255)
