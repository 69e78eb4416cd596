"""Tensors by name, fitted into a network: what is taken off their names, and what may be missing or left out."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interpretkit.errors import WeightsError
from interpretkit.words import listed, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import torch
    from torch import nn

_EXAMPLES = 3
_PROFILED = ("total_ops", "total_params")
"""What profilers leave in the layers that they have counted."""


@dataclass(slots=True, kw_only=True)
class Fitting:
    """How weights are fitted into a network, and what came of it.

    Attributes:
        strict: Whether every tensor must fit.
        prefix: What was taken off all names.
        missing: Tensors of the network that the weights do not have; they stay as initialised.
        left_out: Tensors that the network does not have.
    """

    strict: bool = True
    prefix: str = ""
    missing: dict[str, None] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)


_FITTING: ContextVar[Fitting] = ContextVar("fitting")


@contextmanager
def fitting(*, strict: bool) -> Iterator[Fitting]:
    """Say how weights are fitted by whatever builds a network inside; yields what came of it."""
    made = Fitting(strict=strict)
    token = _FITTING.set(made)
    try:
        yield made
    finally:
        _FITTING.reset(token)


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor], *, without: Collection[str] = ()) -> None:
    """Copy `state` into `module`: every name and every shape must fit, or nothing is copied.

    A prefix that hides the names, such as `module.` or `model.`, is taken off; what does not have it, such as the
    weights of a loss, is left out, and so is what profilers count (`total_ops`). With `strict: false` in a recipe
    whatever else the module does not have is left out too, and what the state does not have stays as initialised. All
    that is recorded in the run. `num_batches_tracked` of batch normalisation may always be missing: older checkpoints
    lack it, and it is not used in eval mode.

    Args:
        module: Where they go.
        state: The tensors by name.
        without: Layers or tensors that the module is built without, such as a head: those there are are left out.

    Raises:
        WeightsError: If tensors are missing, unexpected or of another shape; it counts them and shows some of each.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> load_state(layer, {"model.weight": torch.ones(1, 2), "model.bias": torch.zeros(1)})
        >>> layer.weight.tolist()
        [[1.0, 1.0]]
        >>> load_state(layer, {"weight": torch.ones(1, 3)})
        Traceback (most recent call last):
        interpretkit.errors.WeightsError: the weights do not fit: 1 missing ('bias' 1), 1 of another shape ('weight' 1×3
        instead of 1×2) (a checkpoint of another architecture, variant or form?)
    """
    result = _FITTING.get(Fitting())
    wanted: dict[str, torch.Tensor] = module.state_dict()
    fitted = {}
    unexpected = []
    for name, tensor in without_prefix(state, wanted.__contains__).items():
        if name in wanted:
            fitted[name] = tensor
        elif name.rpartition(".")[2] in _PROFILED or not result.strict or _is_below(name, without):
            result.left_out[name] = None
        else:
            unexpected.append(_shaped(name, tensor))
    missing = [name for name in wanted if name not in fitted and not name.endswith("num_batches_tracked")]
    misshaped = {name: tensor for name, tensor in fitted.items() if tensor.shape != wanted[name].shape}
    # Nothing at all in common is no network without its head, but another one.
    lacking = missing if result.strict or not fitted else []
    faults = [
        _counted("missing", [_shaped(name, wanted[name]) for name in lacking]),
        _counted("unexpected", unexpected),
        _counted("of another shape", [_beside(name, tensor, wanted[name]) for name, tensor in misshaped.items()]),
    ]
    if any(faults):
        raise WeightsError(
            f"the weights do not fit: {', '.join(filter(None, faults))}",
            hint=_hint(lacking, unexpected, misshaped, wanted),
        )
    result.missing |= dict.fromkeys(missing)
    # Into a state of the module's own, which knows the version of its layout; a plain mapping says nothing of it.
    wanted.update(fitted)
    module.load_state_dict(wanted)


def _is_below(name: str, paths: Collection[str]) -> bool:
    return name in paths or any(name.startswith(f"{path}.") for path in paths)


def without_prefix(state: Mapping[str, torch.Tensor], known: Callable[[str], bool]) -> dict[str, torch.Tensor]:
    """Return tensors without the prefix that hides their names, if one does: the one under which most are known.

    What does not have that prefix is left out. `load_state` does this for names of the module; a builder that
    translates names does it before.

    Args:
        state: The tensors by name.
        known: Tells whether a name, without the prefix, is one that can be used.

    Raises:
        WeightsError: If two prefixes fit equally well.

    Example:
        >>> without_prefix({"net.weight": 1, "net.bias": 2, "loss.weight": 3}, {"weight", "bias"}.__contains__)
        {'weight': 1, 'bias': 2}
    """
    result = _FITTING.get(Fitting())
    counts = Counter(prefix for name in state for prefix in _prefixes(name) if known(name[len(prefix) :]))
    most = max(counts.values(), default=0)
    best = sorted((prefix for prefix, count in counts.items() if count == most), key=len)
    if not most or counts[""] == most:
        return dict(state)
    # Of prefixes that continue each other, the names under the shortest are those under all.
    best = [prefix for prefix in best if prefix == best[0] or not prefix.startswith(best[0])]
    if len(best) > 1:
        named = " and ".join(repr(prefix) for prefix in best[:2])
        raise WeightsError(
            f"the weights hold several networks that fit, under {named}", hint=f"say which: key: {best[0][:-1]}"
        )
    (prefix,) = best
    under = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if 2 * most < len(under):
        return dict(state)
    result.prefix = prefix + result.prefix
    result.left_out |= dict.fromkeys(name for name in state if not name.startswith(prefix))
    return under


def _prefixes(name: str) -> Iterator[str]:
    """Yield what may be taken off a name: nothing, and every beginning that ends with a dot."""
    yield ""
    for place, character in enumerate(name[:-1], start=1):
        if character == ".":
            yield name[:place]


def _hint(
    missing: Sequence[str],
    unexpected: Sequence[str],
    misshaped: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
) -> str:
    """Say what is likely: another number of classes, a head that is missing, or another network."""
    rows = {len(tensor) for tensor in misshaped.values() if tensor.ndim}
    heads = {name.rpartition(".")[0] for name in misshaped}
    if len(rows) == 1 and len(heads) == 1 and not missing and not unexpected:
        return f"{heads.pop()!r} of the weights has {rows.pop()} rows: set num_classes, or whatever counts them"
    if missing and not misshaped and 2 * len(missing) < len(wanted):
        if unexpected:
            return "rename: {name in the file: name in the network} renames; strict: false leaves both out"
        return "strict: false leaves them as initialised, and says so on every picture; num_classes: 0 builds no head"
    if unexpected and not missing and not misshaped:
        return "strict: false leaves them out"
    return "a checkpoint of another architecture, variant or form?"


def _beside(name: str, tensor: torch.Tensor, wanted: torch.Tensor) -> str:
    return f"{_shaped(name, tensor)} instead of {shape(wanted.shape)}"


def _shaped(name: str, tensor: torch.Tensor) -> str:
    return f"{name!r} {shape(tensor.shape)}"


def _counted(what: str, examples: Sequence[str]) -> str:
    if not examples:
        return ""
    return f"{len(examples)} {what} ({listed(examples, most=_EXAMPLES)})"


def renamed(state: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Return tensors under other names: the first parts of a name, up to a dot or the end, are replaced.

    Raises:
        WeightsError: If no name begins so, or two tensors would have one name.

    Example:
        >>> renamed({"fc.1.weight": 1, "fc.1.bias": 2, "conv.weight": 3}, {"fc.1": "fc"})
        {'fc.weight': 1, 'fc.bias': 2, 'conv.weight': 3}
    """
    made = dict(state)
    for old, new in names.items():
        changed = {name: _begun(name, old, new) for name in made}
        if all(name == other for name, other in changed.items()):
            raise WeightsError(f"no tensor of the weights is called {old!r} or {old + '.'!r}…", subject=old)
        twice = _repeated(changed.values())
        if twice:
            raise WeightsError(f"two tensors of the weights would be called {twice!r}", subject=old)
        made = {changed[name]: tensor for name, tensor in made.items()}
    return made


def _begun(name: str, old: str, new: str) -> str:
    if name == old:
        return new
    rest = name.removeprefix(f"{old}.")
    return name if rest == name else f"{new}.{rest}" if new else rest


def _repeated(names: Iterable[str]) -> str:
    name, count = Counter(names).most_common(1)[0]
    return name if count > 1 else ""
