"""`python -m interpretkit`, and the entry point of the `interpretkit` command."""

from __future__ import annotations

from interpretkit.cli import main

if __name__ == "__main__":
    main()
