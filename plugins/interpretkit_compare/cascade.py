"""In which order the layers of a network are drawn anew: from its output to its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from interpretkit import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from interpretkit import Model

_REST = "everything else"


class Stage(NamedTuple):
    """How far a network is drawn anew.

    Attributes:
        name: What is drawn last.
        parts: Paths of all that is drawn by then; None for the whole network.
    """

    name: str
    parts: tuple[str, ...] | None


def stages(model: Model, patterns: Sequence[str] | None, size: tuple[int, ...]) -> list[Stage]:
    """Return the stages of a cascade; at the last, whatever is left is drawn too.

    Args:
        model: The model.
        patterns: Which layers are drawn one after another; by default its blocks.
        size: Of an input along its axes: one pass of zeros shows in which order the layers are called.

    Raises:
        StepError: If one layer lies in another.

    Example:
        >>> import torch, interpretkit as ik
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> [stage.name for stage in stages(ik.wrap(net), None, (4, 4))]
        ['2', '0']
    """
    module = model.module
    paths = list(_blocks(module)) if patterns is None else _found(model, patterns)
    rows = [row.path.partition("#")[0] for row in model.layers(size=size)]
    last = {path: max((place for place, row in enumerate(rows) if _within(row, path)), default=-1) for path in paths}
    # What no call shows may have a part in all the others, as positions of tokens have.
    called = sorted((path for path in paths if last[path] >= 0), key=last.__getitem__, reverse=True)
    found = [Stage(path, tuple(called[: count + 1])) for count, path in enumerate(called)]
    rest = [name for name, _ in module.named_parameters() if not any(_within(name, path) for path in called)]
    if rest:
        return [*found, Stage(_REST if found else "the whole network", None)]
    return [*found[:-1], Stage(found[-1].name, None)]


def _blocks(module: torch.nn.Module, path: str = "") -> Iterator[str]:
    """Yield the paths of what a network is made of: its children with weights, those of sequences and lists in turn."""
    from torch import nn

    children = {name: child for name, child in module.named_children() if any(True for _ in child.parameters())}
    for name, child in children.items():
        inside = f"{path}.{name}" if path else name
        wraps = len(children) == 1 and not path and any(True for _ in child.children())
        if type(child) in (nn.Sequential, nn.ModuleList) or wraps:
            yield from _blocks(child, inside)
        else:
            yield inside


def _found(model: Model, patterns: Sequence[str]) -> list[str]:
    """Return the paths of the layers that patterns name and that have weights."""
    paths = list(dict.fromkeys(layer.address.path for layer in model.find(patterns)))
    for path in paths:
        for other in paths:
            if path != other and _within(path, other):
                raise StepError(f"layer {path} lies in {other}, and each is drawn once", hint="name one of them")
    return [path for path in paths if any(True for _ in model.module.get_submodule(path).parameters())]


def _within(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")
