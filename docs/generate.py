"""Write the pages of the documentation that say what the code says: `python docs/generate.py`."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel

from interpretkit.bench.records import Bench
from interpretkit.bench.text import markdown
from interpretkit.cli.answers import offer_text
from interpretkit.cli.commands import commands
from interpretkit.contracts.kinds import KINDS
from interpretkit.contracts.registry import discover
from interpretkit.recipe.described import Described

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "interpretkit"

ROOMS = {
    "api": "Calls",
    "contracts": "What plugins offer, and what they get",
    "results": "Results",
    "model": "Models",
    "runs": "Runs",
    "engine": "Events",
    "errors": "Errors",
}
"""The public names of `interpretkit` by the room that defines them, in the order of the page."""

MEASURED = "## All methods\n"
"""Below this line, the page about the bench is printed; above it, it is written."""

WIDE = 100
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example):$")


def commands_page() -> str:
    """Return the help of every command."""
    parts = ["# Commands", "", "Results go to stdout, everything else to stderr.", ""]
    parent = click.Context(commands, info_name="interpretkit", terminal_width=WIDE, **commands.context_settings)
    for name, command in sorted(commands.commands.items()):
        context = click.Context(command, parent=parent, info_name=name)
        parts += [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def bench_page() -> str:
    """Return the page about the bench, with the table of the stored one."""
    written, _, _ = (DOCS / "bench.md").read_text(encoding="utf-8").partition(MEASURED)
    stored = Bench.decode((DOCS / "bench.json").read_bytes())
    return f"{written}{MEASURED}\n{markdown(stored)}\n"


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


def api_page() -> str:
    """Return every public name with its signature, its docstring, its fields and methods."""
    intro = "Every public name, from its docstring. Whatever is not here may change without notice."
    parts = ["# The Python API", "", f"{intro} How plugins are written: [plugins](plugins.md).", ""]
    groups = list(_groups())
    for title, names in groups:
        links = [f"[`{_title(each)}`](#{_anchor(_title(each))})" for each in names]
        parts.append(f"- **[{title}](#{_anchor(title)})**: {' · '.join(links)}")
    for title, names in groups:
        parts += ["", f"## {title}", ""]
        for each in names:
            parts += [f"### {_title(each)}", "", *_about(each), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


@dataclasses.dataclass(frozen=True)
class Public:
    """A public name: what it is, the module that defines it, and what stands before it when it is used."""

    name: str
    module: str
    prefix: str = ""

    @property
    def thing(self) -> Any:
        """What it is."""
        return getattr(importlib.import_module(self.module), self.name)


def _groups() -> Iterator[tuple[str, list[Public]]]:
    """Yield the public names under their titles."""
    names = _names("interpretkit")
    for room, title in ROOMS.items():
        if found := [each for each in names if each.module.split(".")[1] == room]:
            yield title, found
    yield "interpretkit.figures", _names("interpretkit.figures", prefix="figures.")
    yield "interpretkit.testing", _names("interpretkit.testing", prefix="testing.")


def _names(package: str, *, prefix: str = "") -> list[Public]:
    folder = PACKAGE.parent.joinpath(*package.split("."))
    stub = (folder / "__init__.pyi").read_text(encoding="utf-8")
    lines = re.findall(r"^from (\.\S+) import (\w+) as \w+$", stub, flags=re.MULTILINE)
    return [Public(name, f"{package}{module}", prefix) for module, name in lines]


def _title(public: Public) -> str:
    if inspect.isclass(public.thing):
        return f"class {public.prefix}{public.name}"
    return f"{public.prefix}{public.name}{'()' if inspect.isfunction(public.thing) else ''}"


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _about(public: Public) -> Iterator[str]:
    thing = public.thing
    if inspect.isclass(thing):
        yield from _about_class(public.name, thing)
    elif inspect.isfunction(thing):
        yield from [_code(_signature(public.name, thing)), "", *_markdown(inspect.getdoc(thing) or "")]
    else:
        module = importlib.import_module(public.module)
        yield from [*_values(public.name, thing), *_markdown(_texts_below(module).get(public.name, ""))]


def _values(name: str, thing: Any) -> list[str]:
    """Return what a name of literals stands for."""
    if get_origin(thing) is not Literal:
        return []
    return [_code(f"{name} = {' | '.join(map(repr, get_args(thing)))}"), ""]


def _about_class(name: str, thing: type) -> Iterator[str]:
    public = [base for base in thing.__mro__[1:] if _ours(base) and _is_public(base)]
    # A warning is called by nobody, and says nothing of how it is.
    if not issubclass(thing, BaseModel | Warning):
        yield from [_code(_signature(name, thing).removesuffix(" -> None")), ""]
    yield from _markdown(inspect.getdoc(thing) or "")
    if public:
        yield from [f"Derived from [`{public[0].__name__}`](#class-{public[0].__name__.lower()}).", ""]
    if issubclass(thing, BaseModel):
        yield from _fields(thing)
    told = {base for each in public for base in each.__mro__}
    own = [base for base in thing.__mro__ if _ours(base) and base not in told]
    texts = [(member, text) for base in own for member, text in _texts_below(base).items()]
    yield from [f"- `{member}`: {' '.join(text.split())}" for member, text in texts]
    for base in own:
        for member, value in vars(base).items():
            if not member.startswith("_"):
                yield from _about_member(member, value)


def _fields(thing: type[BaseModel]) -> Iterator[str]:
    texts = thing.descriptions() if issubclass(thing, Described) else {}
    for name, field in thing.model_fields.items():
        text = texts.get(name) or field.description
        default = "required" if field.is_required() else f"{field.get_default(call_default_factory=True)!r} by default"
        yield f"- `{field.alias or name}`, {default}: {text}"


def _about_member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, property):
        yield from ["", f"#### .{name}", "", *_markdown(inspect.getdoc(value) or "")]
    elif inspect.isfunction(value) or isinstance(value, classmethod):
        function = value.__func__ if isinstance(value, classmethod) else value
        yield from ["", f"#### .{name}()", "", _code(_signature(name, function, bound=True)), ""]
        yield from _markdown(inspect.getdoc(function) or "")


def _ours(base: type) -> bool:
    return base.__module__.startswith("interpretkit")


def _is_public(base: type) -> bool:
    return any(each.name == base.__name__ for each in _names("interpretkit"))


class _AsWritten:
    """Text that stands in a signature as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _signature(name: str, thing: Any, *, bound: bool = False) -> str:
    """Return how something is called, on one line if it fits."""
    signature = inspect.signature(thing)
    parameters = [_written(each) for name, each in signature.parameters.items() if not name.startswith("_")]
    parameters = parameters[1:] if bound else parameters
    returns = signature.return_annotation
    arrow = "" if returns is inspect.Signature.empty else f" -> {_annotation(returns)}"
    whole = f"{name}{signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)}{arrow}"
    if len(whole) <= WIDE:
        return whole
    parts = re.split(r", (?=[*/\w]+(?:[:=,)]|$))", whole[len(name) + 1 : len(whole) - len(arrow) - 1])
    lines = "".join(f"    {part},\n" for part in parts)
    return f"{name}(\n{lines}){arrow}"


def _written(parameter: inspect.Parameter) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    if parameter.annotation is not empty:
        parameter = parameter.replace(annotation=_AsWritten(_annotation(parameter.annotation)))
    # What is made for each call has no text; what has an address has another one at every run.
    if parameter.default is not empty and re.search(r"<factory>| at 0x", repr(parameter.default)):
        parameter = parameter.replace(default=_AsWritten("…"))
    return parameter


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.replace("bases.Options", "Options")


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _markdown(docstring: str) -> Iterator[str]:
    """Yield a docstring in Google's style as Markdown: sections of names as lists, examples as code."""
    section, body = "", []
    for line in [*docstring.splitlines(), "End:"]:
        found = SECTION.match(line) or (line == "End:")
        if found:
            yield from _section(section, textwrap.dedent("\n".join(body)).strip("\n"))
            section, body = line.rstrip(":"), []
        else:
            body.append(line)


def _section(title: str, body: str) -> list[str]:
    if not title:
        return [body, ""]
    if title == "Example":
        # Those of hooks are blocks of code already.
        return [body if body.startswith("```") else f"```pycon\n{body}\n```", ""]
    if title in {"Returns", "Yields"}:
        return [f"{title}: {body}", ""]
    items = re.split(r"\n(?=\S)", body)
    return [f"{title}:", "", *(_item(each) for each in items), ""]


def _item(text: str) -> str:
    name, _, about = text.partition(":")
    return f"- `{name}`: {' '.join(about.split())}"


def _texts_below(owner: type | ModuleType) -> dict[str, str]:
    """Return the texts that stand below names in the source of a class or a module."""
    tree: Any = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    body = tree.body[0].body if inspect.isclass(owner) else tree.body
    texts = {}
    for statement, text in pairwise(body):
        match statement, text:
            case (
                (ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)])),
                ast.Expr(value=ast.Constant(value=str() as words)),
            ):
                texts[name] = inspect.cleandoc(words)
    return texts


PAGES = {"api.md": api_page, "bench.md": bench_page, "commands.md": commands_page, "reference.md": reference_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
