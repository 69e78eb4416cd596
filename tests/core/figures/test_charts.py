from __future__ import annotations

import matplotlib as mpl
import numpy as np

from interpretkit import figures

LONG = "Grad-CAM of stage4 for ‘military uniform’ against ‘suit of clothes’, averaged " * 3


def test_charts_share_a_style_wrap_their_title_and_leave_matplotlibs_settings_alone():
    settings = dict(mpl.rcParams)
    figure = figures.chart(4.0, 3.0, title=LONG)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [1, 2], label="a")
    left.legend()
    right.set_title("right")
    drawn = np.asarray(figures.picture(figure))
    assert drawn.shape == (300, 400, 3)
    assert (drawn[:, -2:] == 255).all()
    assert (drawn[:2] == 255).all()
    assert left.get_lines()[0].get_color() == "#0072b2"
    assert right.title.get_fontsize() == 9.5
    title = figure.get_suptitle()
    assert " ".join(title.split()) == " ".join(LONG.split())
    assert title.count("\n") >= 3
    assert dict(mpl.rcParams) == settings


def test_texts_of_charts_have_escapes_for_what_the_font_lacks():
    def drawn(name):
        figure = figures.chart(4, 3, title=name)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label=name)
        axes.set(title=name, xlabel=name)
        axes.set_xticks([0, 1], [name, "b"])
        axes.legend()
        return np.asarray(figures.picture(figure))

    # matplotlib warns of each box that it draws, and warnings are errors here.
    np.testing.assert_array_equal(drawn("猫"), drawn(r"\u732b"))
