"""The process: signals, exit codes, errors in one line."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from interpretkit.cli.commands import commands
from interpretkit.cli.failures import show_tracebacks, told
from interpretkit.cli.terminal import write_everything
from interpretkit.errors import InterpretkitError, StepError, StorageError

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 128 + signal.SIGINT


class _Stopped(KeyboardInterrupt):
    """A polite signal to stop: handled as Ctrl-C is, with the exit code of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def main() -> None:
    """Run the command line and exit with its code."""
    # Importing torch makes a million objects that live to the end; by default the collector walks them again and again.
    gc.set_threshold(100_000, 50, 100)
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _stop)
    for stream in (sys.stdout, sys.stderr):
        write_everything(stream)
    # No command opens a window, and a notebook leaves behind the name of a backend that is perhaps not installed here.
    os.environ["MPLBACKEND"] = "agg"
    try:
        commands.main(standalone_mode=False)
        if sys.stdout is not None:  # a service may have none
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort as error:
        # click's word for a KeyboardInterrupt, which it keeps as the cause.
        _end(str(error.__cause__ or "") or "interrupted", getattr(error.__cause__, "exit_code", INTERRUPTED))
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to say, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # noqa: BLE001 - no traceback without --debug
        show_tracebacks(error)
        _end(*_explained(error))


def _explained(error: Exception) -> tuple[str, int]:
    """Return what a user sees of an error, one line for each fault, and the exit code."""
    if isinstance(error, InterpretkitError):
        return told(error), error.exit_code
    if isinstance(error, OSError):
        return f"error: {error.filename or 'file system'}: {error.strerror or error}", StorageError.exit_code
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"error: unexpected {what} (please report it, with what --debug shows)", StepError.exit_code


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


def _end(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
