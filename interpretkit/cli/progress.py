"""What a run shows of itself while it goes on, on stderr."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from interpretkit.engine.events import Event

REMINDER_SECONDS = 30.0
"""Where no bar moves, a line says after so long what is still going on."""

_SHORT_LIVED = {"loading", "begun", "progress", "batch"}
"""Events of these kinds are shown by the bar; the others get a line of their own."""


class Progress:
    """Shows events on stderr: a bar on a terminal; one line for each finished step everywhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self.sealed = ""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        name, text = TextColumn("{task.description}"), TextColumn("{task.fields[text]}")
        columns = (name, BarColumn(), text, TimeElapsedColumn())
        self._bar = Bar(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("interpretkit", total=None, text="loading")
        self._now = ""
        self._since = time.monotonic()
        self._over = threading.Event()
        self._reminder = threading.Thread(target=self._remind, daemon=True)

    def __enter__(self) -> Self:
        self._bar.start()
        if not self._console.is_terminal:
            self._reminder.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "sealed":
            self.sealed = event.text
        elif event.kind in _SHORT_LIVED:
            self._move(event)
        else:
            if event.kind != "alert":
                self._now = ""
            self._console.print(event.text, style="yellow" if event.failed else None, markup=False)

    def _move(self, event: Event) -> None:
        """Let the bar show what goes on now."""
        if event.kind != "progress":
            self._since = time.monotonic()
            self._bar.reset(self._task, total=None)
        self._now = "" if event.kind == "batch" else event.text
        text = event.text.removeprefix(f"{event.step}: ")
        total = event.total or None
        completed = event.done if event.total else 0
        name = event.step or "interpretkit"
        self._bar.update(self._task, description=name, completed=completed, total=total, text=text)

    def _remind(self) -> None:
        while not self._over.wait(REMINDER_SECONDS):
            if self._now:
                seconds = time.monotonic() - self._since
                self._console.print(f"{self._now}, for {seconds:.0f} s", markup=False)
