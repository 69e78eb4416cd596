from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import matplotlib as mpl
import pytest
import torch
from matplotlib import style

import interpretkit as ik
from interpretkit import figures


@contextmanager
def preferred():
    """What somebody prefers: a dark style, great letters, another resolution, formulas by LaTeX."""
    with mpl.rc_context():
        style.use("dark_background")
        mpl.rcParams.update({"font.size": 24, "axes.grid": True, "lines.linewidth": 9, "axes.xmargin": 0.4})
        mpl.rcParams.update({"text.usetex": True, "savefig.dpi": 30, "savefig.format": "pdf", "legend.fontsize": 4})
        yield


class Charted(ik.Visualizer):
    """A chart by an author who has settings of their own."""

    name = "charted"

    def needs(self):
        return ik.Needs()

    def compute(self, captured):
        return ik.Result()

    def draw(self, result):
        with mpl.rc_context({"lines.linewidth": 3.25}):
            for name in ("first", "second"):
                chart = figures.chart(3, 2, title="Chart")
                axes = chart.subplots()
                (line,) = axes.plot([0, 1], [-1, 2], label="a")
                axes.set_title("title")
                axes.legend()
                caption = f"{line.get_linewidth()} {mpl.rcParams['font.size']}"
                yield ik.Figure(name=name, picture=figures.picture(chart), caption=caption, alt="A chart.")


@pytest.fixture
def net():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())


@pytest.mark.parametrize(("visualizer", "options"), [(Charted, {}), ("channel_stats", {"layers": ["1"]})])
def test_figures_are_the_same_whatever_the_user_prefers(net, visualizer, options):
    result = ik.visualize(net, torch.rand(2, 3, 9, 9), visualizer, **options)
    expected = [figures.png(figure.picture) for figure in ik.draw(result)]
    assert expected
    with preferred():
        before = dict(mpl.rcParams)
        drawn = [figures.png(figure.picture) for figure in ik.draw(result)]
        assert dict(mpl.rcParams) == before
    assert drawn == expected


def test_an_authors_own_settings_hold_for_all_figures_of_a_result(net):
    result = ik.visualize(net, torch.rand(1, 3, 9, 9), Charted)
    with preferred():
        assert [figure.caption for figure in ik.draw(result)] == ["3.25 10.0", "3.25 10.0"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [("not_installed", "other"), ("svg", "svg")],
)
def test_matplotlib_loads_and_keeps_the_backend_that_is_named_if_it_is_there(named, expected):
    code = (
        "import os\n"
        "from interpretkit.figures.settings import matplotlib\n"
        "backend = matplotlib().rcParams._get('backend')\n"
        "print(backend if isinstance(backend, str) else 'other', os.environ['MPLBACKEND'])"
    )
    environment = {**os.environ, "MPLBACKEND": named}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [expected, named], done.stderr
