"""What is shown of a run while it goes on: on a terminal, and where there is none."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from interpretkit import Event
from interpretkit.cli import progress
from interpretkit.cli.progress import Progress


@pytest.fixture
def shown(monkeypatch):
    """A progress that writes into a text, as to a file or as to a terminal."""

    def make(*, terminal):
        text = io.StringIO()
        plain = {"file": text, "width": 200, "highlight": False, "soft_wrap": True}
        monkeypatch.setattr(
            "rich.console.Console", lambda **_more: Console(force_terminal=terminal, color_system=None, **plain)
        )
        return Progress(), text

    return make


EVENTS = [
    Event(kind="loading", text="loading small"),
    Event(kind="model", text="Small: random weights", failed=True),
    Event(kind="begun", text="cam: a", step="cam", about="a"),
    Event(kind="progress", text="cam: 3 of 8, pass 3 (1.5/s), a", step="cam", done=3, total=8, passes=3, rate=1.5),
    Event(kind="alert", text="cam: odd", step="cam", failed=True),
    Event(kind="step", text="cam: 1 map (2.0 s)", step="cam"),
    Event(kind="batch", text="1 of 1 images", done=1, total=1),
    Event(kind="sealed", text="runs/small"),
]


def test_without_a_terminal_there_is_a_line_for_each_thing_that_stays(shown):
    showing, text = shown(terminal=False)
    with showing:
        for event in EVENTS:
            showing.show(event)
    assert text.getvalue().splitlines() == ["Small: random weights", "cam: odd", "cam: 1 map (2.0 s)"]
    assert showing.sealed == "runs/small"


@pytest.mark.parametrize(
    ("count", "bar"), [(1, "loading small"), (3, "cam"), (4, "3 of 8, pass 3 (1.5/s), a"), (7, "1 of 1 images")]
)
def test_on_a_terminal_the_bar_shows_step_image_count_and_rate(shown, count, bar):
    showing, text = shown(terminal=True)
    with showing:
        for event in EVENTS[:count]:
            showing.show(event)
        showing._bar.refresh()
    assert bar in text.getvalue()


def test_without_a_terminal_a_line_says_now_and_then_what_still_goes_on(shown, monkeypatch):
    monkeypatch.setattr(progress, "REMINDER_SECONDS", 0.001)
    showing, text = shown(terminal=False)
    reminded = threading.Event()
    write = text.write
    monkeypatch.setattr(text, "write", lambda line: (write(line), reminded.set())[0])
    with showing:
        showing.show(EVENTS[2])
        assert reminded.wait(60)
    assert text.getvalue().splitlines()[0] == "cam: a, for 0 s"
    assert not showing._reminder.is_alive() or showing._over.is_set()


@pytest.mark.parametrize("last", [6, 7])
def test_nothing_is_said_to_go_on_once_it_is_done(shown, last):
    showing, _ = shown(terminal=False)
    for event in EVENTS[:last]:
        showing.show(event)
    assert showing._now == ""
