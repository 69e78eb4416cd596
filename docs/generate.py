"""Write the pages of the documentation that say what the code says: `python docs/generate.py`."""

from __future__ import annotations

from pathlib import Path

import click

from interpretkit.cli.answers import offer_text
from interpretkit.cli.commands import commands
from interpretkit.contracts.kinds import KINDS
from interpretkit.contracts.registry import discover

DOCS = Path(__file__).parent


def commands_page() -> str:
    """Return the help of every command."""
    parts = ["# Commands", "", "Results go to stdout, everything else to stderr.", ""]
    parent = click.Context(commands, info_name="interpretkit", terminal_width=100, **commands.context_settings)
    for name, command in sorted(commands.commands.items()):
        context = click.Context(command, parent=parent, info_name=name)
        parts += [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def reference_page() -> str:
    """Return what everything that comes with interpretkit is, with its options."""
    registry = discover()
    parts = ["# Models, visualizers and more", "", "What `interpretkit show NAME` says of each.", ""]
    for kind in KINDS:
        shipped = {name: each for name, each in registry.of(kind).items() if each.plugin.distribution == "interpretkit"}
        parts += [f"## {kind.name.capitalize()}s", ""] if shipped else []
        for name, found in shipped.items():
            text = offer_text(registry, name).replace(f" ({found.plugin})", "", 1)
            parts += [f"### {name}", "", "```text", text, "```", ""]
    return "\n".join(parts)


PAGES = {"commands.md": commands_page, "reference.md": reference_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
