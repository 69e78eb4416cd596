from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from interpretkit import figures

LONG = "Grad-CAM of stage4 for ‘military uniform’ against ‘suit of clothes’, averaged " * 3


def draw_grid(values, **options):
    given = {"title": "stage4", "labels": [str(k) for k in range(len(values))], "scope": "layer", **options}
    return figures.grid(np.asarray(values), **{"polarity": "unsigned", **given})


@pytest.mark.parametrize(
    "picture",
    [
        lambda: draw_grid(np.zeros((1, 1, 1)), title=LONG),
        lambda: draw_grid(np.ones((1, 1, 1)), title="", labels=["a label that is longer than its tile"]),
        lambda: draw_grid(np.full((3, 2, 2), np.nan), title=LONG, scope="channel", polarity="signed"),
        lambda: draw_grid(np.eye(3)[None] * 1e-45, scope="channel"),
        lambda: draw_grid(np.linspace(-3e38, 3e38, 8, dtype=np.float32).reshape(2, 2, 2), polarity="signed"),
        lambda: draw_grid(np.array([[[True, False]]]), labels=[""]),
        lambda: draw_grid(np.arange(24, dtype=np.float16).reshape(2, 12, 1), title=LONG),
        lambda: draw_grid(np.random.default_rng(0).random((3, 1, 300)), title=LONG),
        lambda: figures.heatmap(np.zeros((1, 1)), title=LONG, polarity="signed"),
        lambda: figures.heatmap(np.full((2, 2), np.nan), title="", polarity="unsigned"),
        lambda: figures.heatmap(np.full((2, 2), 3e-9), title="", polarity="unsigned", limits=(-1.23e-5, 1.23e5)),
        lambda: figures.heatmap(np.zeros((2, 2)), title="t", polarity="unsigned", limits=(0.0, 0.0)),
        lambda: figures.heatmap(np.random.default_rng(0).random((30, 1)) * 1e-9, title=LONG, polarity="signed"),
        lambda: figures.overlay(np.full((2, 2), np.nan), np.zeros((9, 5, 3), np.uint8), title=LONG),
        lambda: figures.overlay(np.ones((1, 1)), np.zeros((1, 1, 3), np.uint8), title=LONG),
        lambda: figures.matrix(np.full((1, 1), np.nan), rows=[LONG], columns=[LONG], title=LONG),
        lambda: figures.matrix(np.full((1, 1), -1e9), rows=[""], columns=[""], title=""),
    ],
)  # fmt: skip
def test_degenerate_input_is_drawn_within_its_margins(picture):
    drawn = np.asarray(picture().convert("RGB"))
    border = np.ones(drawn.shape[:2], bool)
    border[12:-12, 12:-12] = False
    assert (drawn[border] == 255).all()
    assert (drawn[~border] != 255).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_grid(np.zeros((0, 7, 7))), r"not of shape 0×7×7"),
        (lambda: draw_grid(np.zeros((2, 7, 7, 7, 7))), r"not of shape 2×7×7×7×7"),
        (lambda: figures.gallery([], labels=[], title=""), "0 labels do not fit 0 rows"),
        (lambda: figures.gallery([[figures.Exhibit(np.eye(3), "")]], labels=["a"], title=""), "not float64 3×3"),
        (lambda: draw_grid(np.zeros((1, 7, 7)), scope="fixed"), "fixed limits None are not finite and ascending"),
        (lambda: draw_grid(np.zeros((1, 7, 7)), scope="fixed", limits=(1.0, 1.0)), "not finite and ascending"),
        (lambda: draw_grid(np.zeros((2, 7, 7)), labels=["0"]), "1 labels do not fit 2 channels"),
        (lambda: figures.heatmap(np.zeros((2, 0)), title="t", polarity="signed"), "not shape 2×0"),
        (lambda: figures.heatmap(np.eye(2), title="t", polarity="signed", limits=(1, 0)), "not finite and ascending"),
        (lambda: figures.overlay(np.eye(2), np.zeros((9, 9, 3)), title="t"), "not float64 9×9×3"),
        (lambda: figures.matrix(np.eye(2), rows=["a"], columns=["a", "b"], title="t"), "1 rows and 2 columns"),
        (lambda: figures.panels([]), "no picture"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_drawing_loads_no_pyplot_and_importing_loads_no_matplotlib():
    code = """
import sys, numpy as np
from interpretkit import figures
from interpretkit.figures import grids, sheet
assert "matplotlib" not in sys.modules and "torch" not in sys.modules
pixels = np.zeros((8, 8, 3), np.uint8)
figures.grid(np.ones((2, 3, 3)), title="t", labels=["0", "1"], scope="layer", polarity="signed")
pictures = [figures.photo(pixels, title="t"), figures.overlay(np.eye(2), pixels, title="t")]
figures.png(figures.stamp(figures.panels(pictures, title="t"), ["a"], alert="b"))
figures.matrix(np.eye(2), rows=["a", "b"], columns=["a", "b"], title="t")
figure = figures.chart(3, 2, title="t")
figure.subplots().plot([0, 1])
figures.picture(figure)
assert "matplotlib.pyplot" not in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
