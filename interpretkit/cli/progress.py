"""What a run shows of itself while it goes on, on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from interpretkit.engine.engine import Event


class Progress:
    """Shows events on stderr: a bar on a terminal, one line per step everywhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.sealed = ""
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
        self._bar = Bar(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("interpretkit", total=None, text="loading")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "sealed":
            self.sealed = event.text
        elif event.kind == "batch":
            self._bar.update(self._task, completed=event.done, total=event.total, text=event.text)
        else:
            self._console.print(event.text, style="yellow" if event.failed else None, markup=False)
