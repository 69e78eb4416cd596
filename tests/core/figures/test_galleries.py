from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from interpretkit import figures

LONG = "Grad-CAM of stage4 for ‘military uniform’ against ‘suit of clothes’, averaged " * 3


@pytest.mark.parametrize(("largest", "zoom"), [((7, 5), 16), ((60, 448), 0.25)])
def test_a_gallery_shows_its_photos_on_one_scale_beside_the_label_of_their_row(random, largest, zoom, places):
    first, second = (random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in (largest, (4, 5)))
    nothing = np.zeros((0, 3, 3), np.uint8)
    rows = [
        [figures.Exhibit(first, "cat: 3.2"), figures.Exhibit(second, "a name as long as this does not fit below one")],
        [figures.Exhibit(nothing, "border: 0.1")],
        [],
    ]
    found = np.asarray(figures.gallery(rows, labels=["channel 12", "channel 3", "channel 4: none"], title=LONG))
    found_at = []
    for pixels in (first, second):
        height, width = (int(length * zoom) for length in pixels.shape[:2])
        how = Image.Resampling.BOX if zoom < 1 else Image.Resampling.NEAREST
        shown = np.asarray(Image.fromarray(pixels).resize((width, height), how))
        matches = [
            place
            for place in places(found[..., 0], shown[..., 0])
            if np.array_equal(found[place[0] : place[0] + height, place[1] : place[1] + width], shown)
        ]
        found_at.append((matches[0][0] + height, matches[0][1]))
    assert found_at[1] == (found_at[0][0], found_at[0][1] + 112 + 10)
    bottom, left = found_at[1]
    assert found[bottom, left].tolist() == [208, 215, 222], "a photo without a frame"
    margins = np.concatenate([found[:, :12].ravel(), found[:, -12:].ravel(), found[-12:].ravel()])
    assert (margins == 255).all()


@pytest.mark.parametrize("mark", [(2.5, 3.5), (0.5, 0.5)])
def test_a_cross_stands_around_its_place_and_leaves_it_free(mark):
    plain = np.full((7, 7, 3), 90, np.uint8)
    bare, marked = (
        np.asarray(figures.gallery([[figures.Exhibit(plain, "a", where)]], labels=["c"], title="t")).astype(int)
        for where in (None, mark)
    )
    rows, columns = np.nonzero((bare == 90).all(-1))
    changed = np.argwhere((bare != marked).any(-1))
    y, x = rows.min() + mark[0] * 16, columns.min() + mark[1] * 16
    # Strokes of a cross that the photo cuts off at its border.
    assert len(changed) > 30
    assert np.abs(changed - [y, x]).max() <= 12
    assert (np.abs(changed - [y, x]).max(1) >= 2).all()
    assert (np.abs(changed - [y, x]).min(1) <= 2).all()
    inside = (changed >= [rows.min(), columns.min()]) & (changed <= [rows.max(), columns.max()])
    assert inside.all()
