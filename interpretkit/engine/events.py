"""What happens while a run goes on: told to whoever started it, and noted in the journal."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from interpretkit.contracts.captured import Listener
from interpretkit.runs.journal import Alerted, Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpretkit.runs.draft import Draft

EventKind = Literal["loading", "model", "image", "begun", "progress", "alert", "step", "batch", "judged", "sealed"]

PROGRESS_SECONDS = 0.5
"""The least time between two events of a step's passes, and between two of its own reports of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened while a run goes on.

    Attributes:
        kind: `loading` (a model, now), `model` (ready), `image` (one cannot be read, or something is to be said of the
            inputs), `begun` (a step, for some images), `progress` (of that step), `alert` (what a reader must know of a
            step, or of images), `step` (done), `batch` (done), `judged` (what checks and labels come to), `sealed` (the
            run).
        text: What happened, in one line; the directory for `sealed`.
        step: The step that it is about; empty if it is about none.
        about: The images that a step computes, in words.
        done: How many images are done; of `progress`, how many of the things that the step counts.
        total: How many there are in all; 0 if that is not known.
        passes: Of `progress`: how many forward passes the step itself has started for these images.
        rate: Of `progress`: how many passes a second; without passes, how many of the things that the step counts.
        failed: Whether it is bad news.

    Example:
        >>> event = Event(kind="progress", text="cam: 3 of 8, pass 3 (1.5/s), a", step="cam", done=3, total=8)
        >>> event.done / event.total, event.failed
        (0.375, False)
    """

    kind: EventKind
    text: str
    step: str = ""
    about: str = ""
    done: int = 0
    total: int = 0
    passes: int = 0
    rate: float = 0.0
    failed: bool = False


class Announcer:
    """Notes events in the journal of a run, and tells whoever listens.

    Args:
        draft: The run.
        listen: Called with every event. If it fails, it is not called again, and the run goes on.

    Attributes:
        broken: What the listener failed with; None if it has not.
    """

    def __init__(self, draft: Draft, listen: Callable[[Event], None]) -> None:
        self.broken: BaseException | None = None
        self._draft = draft
        self._listen = listen

    def note(self, event: Event) -> None:
        """Note an event in the journal, then tell of it.

        Raises:
            StorageError: If the journal cannot be written.
        """
        facts = asdict(event)
        kind = facts.pop("kind")
        said = {name: value for name, value in facts.items() if value}
        self._draft.record(Told(event=kind, facts=said))
        self.tell(event)

    def tell(self, event: Event) -> None:
        """Tell whoever listens of an event."""
        if self.broken is not None:
            return
        try:
            self._listen(event)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a listener raises, the run must not be lost
            self.broken = error

    def listener(self, step: str, about: str) -> Listener:
        """Say that a step begins to compute some images, and return what hears of it."""
        begun = Event(kind="begun", text=f"{step}: {about}", step=step, about=about)
        self.note(begun)
        return _StepListener(self, step, about)

    def alert(self, step: str, text: str) -> None:
        """Record what a step says that a reader must know, and tell of it.

        Raises:
            StorageError: If the journal cannot be written.
        """
        self._draft.record(Alerted(step=step, text=text))
        event = Event(kind="alert", text=f"{step}: {text}", step=step, failed=True)
        self.tell(event)


class _StepListener(Listener):
    """Hears of a step that computes some images, and tells of its progress, not too often."""

    def __init__(self, announcer: Announcer, step: str, about: str) -> None:
        self._announcer = announcer
        self._step = step
        self._about = about
        self._began = time.perf_counter()
        # Each by itself: what a step says of a pass comes right after the pass, and would always be left out.
        self._pass_told = self._said_told = self._began
        self._passes = 0
        self._done = 0
        self._total = 0

    def passed(self) -> None:
        self._passes += 1
        now = time.perf_counter()
        if now - self._pass_told >= PROGRESS_SECONDS:
            self._pass_told = now
            self._tell(now)

    def progress(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        now = time.perf_counter()
        if now - self._said_told >= PROGRESS_SECONDS:
            self._said_told = now
            self._tell(now)

    def alert(self, text: str) -> None:
        self._announcer.alert(self._step, text)

    def _tell(self, now: float) -> None:
        rate = (self._passes or self._done) / (now - self._began)
        counted = []
        if self._total:
            counted.append(f"{self._done} of {self._total}")
        if self._passes:
            counted.append(f"pass {self._passes}")
        text = f"{self._step}: {', '.join(counted)} ({rate:.1f}/s), {self._about}"
        event = Event(
            kind="progress",
            text=text,
            step=self._step,
            about=self._about,
            done=self._done,
            total=self._total,
            passes=self._passes,
            rate=rate,
        )
        self._announcer.note(event)
