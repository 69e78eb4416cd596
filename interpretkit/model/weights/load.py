"""A model with its weights: built, loaded from wherever they come, on its device."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from interpretkit.errors import PluginError, WeightsError, located
from interpretkit.model.model import Model
from interpretkit.model.weights import hub, packages
from interpretkit.model.weights.fitting import Fitting, fitting, renamed
from interpretkit.model.weights.packages import NotInstalledError
from interpretkit.model.weights.published import download
from interpretkit.model.weights.servers import UnreachableError
from interpretkit.model.weights.state import FILES, INDEX, read_verified, shards
from interpretkit.recipe.entries import FileWeights, HubWeights, PackageWeights, PathWeights, PublishedWeights
from interpretkit.results.origin import WeightsInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from torch import nn

    from interpretkit.model.weights.published import Published


class Builder(Protocol):
    """What builds a network, and knows the weights that its authors publish."""

    name: ClassVar[str]

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the network with these weights, or with random ones."""
        ...

    def published(self, name: str) -> Published:
        """Return which file the published weights `name` are."""
        ...

    def builtin(self) -> Path:
        """Return the file of weights that comes with it."""
        ...


def load(
    builder: Builder,
    weights: Literal["random", "builtin"] | PathWeights | HubWeights | PackageWeights | PublishedWeights,
    *,
    seed: int,
    device: str,
    dtype: str,
) -> Model:
    """Return the model that `builder` builds, with `weights`, on `device`, in eval mode.

    Random weights are initialised from `seed`, leave the caller's random numbers alone, and put the note `untrained`
    on the model. `otherwise: random` stands in for a server that cannot be reached or a package that is not installed,
    and for nothing else: a repository, revision or file that is not there, a damaged file, or weights that do not fit
    are errors with or without it.

    Args:
        builder: Builds the network.
        weights: Where they come from.
        seed: Seeds the initialisation, which is computed on the CPU.
        device: `auto` (CUDA if there is any, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: Name of the torch dtype that floating-point weights are turned into.

    Raises:
        WeightsError: If the weights cannot be had or read, do not fit, or are not finite in `dtype`.
        PluginError: If there is no such device, or the builder does not return a Model.
    """
    import torch

    precision: torch.dtype = getattr(torch, dtype)
    place = _device(device, precision)
    state, info = _state(weights, builder)
    strict = not isinstance(weights, FileWeights) or weights.strict
    try:
        with fitting(strict=strict) as fitted:
            model = _built(builder, state, seed=seed, device="cpu")
    except WeightsError as error:
        raise error.at(info.source) from error.__cause__
    model.module.to(place, precision).eval()
    _check_finite(model.module, where=info.source, dtype=dtype)
    notes = (*model.notes, "untrained") if state is None else model.notes
    return replace(model, weights=_with(info, fitted), notes=tuple(dict.fromkeys(notes)))


def blank(builder: Builder) -> Model:
    """Return the model that `builder` builds, without memory for weights: to list and to plan, not to run."""
    model = _built(builder, None, seed=0, device="meta")
    model.module.to("meta")
    return model


def _with(info: WeightsInfo, fitted: Fitting) -> WeightsInfo:
    """Return where weights come from, with what became of them."""
    return replace(info, prefix=fitted.prefix, missing=tuple(fitted.missing), left_out=tuple(fitted.left_out))


def _state(
    weights: Literal["random", "builtin"] | PathWeights | HubWeights | PackageWeights | PublishedWeights,
    builder: Builder,
) -> tuple[dict[str, torch.Tensor] | None, WeightsInfo]:
    if weights == "random":
        return None, WeightsInfo(kind="random")
    if weights == "builtin":
        info = WeightsInfo(kind="builtin", source=f"weights that come with {builder.name}")
        return _from_file(builder.builtin(), FileWeights(), info, "")
    if isinstance(weights, PathWeights):
        return _from_file(Path(weights.path), weights, WeightsInfo(kind="path", source=weights.path), weights.sha256)
    try:
        return _from_elsewhere(weights, builder)
    except (UnreachableError, NotInstalledError) as error:
        if weights.otherwise != "random":
            raise
        return None, WeightsInfo(kind="random", source=_asked(weights), fallback=error.message)


def _from_elsewhere(
    weights: HubWeights | PackageWeights | PublishedWeights, builder: Builder
) -> tuple[dict[str, torch.Tensor], WeightsInfo]:
    """Return the tensors of what may be away, a server or a package, and where they come from."""
    if isinstance(weights, PackageWeights):
        return _from_package(weights)
    return _from_hub(weights) if isinstance(weights, HubWeights) else _from_authors(weights, builder)


def _asked(weights: HubWeights | PackageWeights | PublishedWeights) -> str:
    """Return in words which weights a recipe asks for."""
    if isinstance(weights, HubWeights):
        return weights.hub
    return f"package {weights.package}" if isinstance(weights, PackageWeights) else f"published {weights.published}"


def _from_package(weights: PackageWeights) -> tuple[dict[str, torch.Tensor], WeightsInfo]:
    found = packages.find(weights.package, weights.file)
    info = WeightsInfo(kind="package", source=f"package {found.distribution}: {found.file}")
    return _from_file(found.path, weights, info, weights.sha256)


def _from_file(
    path: Path, weights: FileWeights, info: WeightsInfo, sha256: str
) -> tuple[dict[str, torch.Tensor], WeightsInfo]:
    """Return the tensors of a file as they are wanted of it, and where they come from."""
    state, digest = read_verified(path, sha256, weights.key)
    try:
        state = renamed(state, weights.rename)
    except WeightsError as error:
        raise error.at(info.source) from error.__cause__
    return state, replace(info, sha256=digest, key=weights.key)


def _from_hub(weights: HubWeights) -> tuple[dict[str, torch.Tensor], WeightsInfo]:
    fetched, file = hub.fetch_first(weights.hub, [weights.file] if weights.file else FILES, revision=weights.revision)
    if file.endswith(INDEX):
        for shard in shards(fetched.path):
            beside = PurePosixPath(file).with_name(shard)
            hub.fetch(weights.hub, str(beside), revision=fetched.commit)
    source = f"hub {weights.hub}@{fetched.commit}: {file}"
    return _from_file(fetched.path, weights, WeightsInfo(kind="hub", source=source), fetched.sha256)


def _from_authors(weights: PublishedWeights, builder: Builder) -> tuple[dict[str, torch.Tensor], WeightsInfo]:
    with located(doing=f"model {builder.name!r}: published()", kind=PluginError):
        published = builder.published(weights.published)
    path = download(published)
    state, digest = read_verified(path, published.sha256)
    source = f"published {weights.published}: {published.url}"
    return state, WeightsInfo(kind="published", source=source, sha256=digest)


def _built(builder: Builder, state: Mapping[str, torch.Tensor] | None, *, seed: int, device: str) -> Model:
    import torch

    # `torch.manual_seed` would also reseed the generators of all GPUs, which `fork_rng` does not bring back.
    with torch.random.fork_rng(devices=[]), torch.device(device), _numbers_on_cpu(), _in_float32():
        torch.default_generator.manual_seed(seed)
        with located(doing=f"model {builder.name!r}: build()", kind=PluginError):
            model: object = builder.build(state)
    if not isinstance(model, Model):
        raise PluginError(f"model {builder.name!r}: `build` returns a {type(model).__name__}, not a Model")
    return model


@contextmanager
def _numbers_on_cpu() -> Iterator[None]:
    """Make tensors of given numbers on the CPU: constructors compute widths and depths with them, which meta cannot."""
    import torch
    from torch.overrides import TorchFunctionMode

    class NumbersOnCpu(TorchFunctionMode):
        def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if func in (torch.arange, torch.linspace, torch.tensor):
                kwargs.setdefault("device", "cpu")
            return func(*args, **kwargs)

    with NumbersOnCpu():
        yield


@contextmanager
def _in_float32() -> Iterator[None]:
    """Draw random weights as float32, whatever the caller's default is: a seed gives other numbers in other dtypes."""
    import torch

    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)


def _device(name: str, dtype: torch.dtype) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(1, device=name, dtype=dtype).device
    # torch has no one way to say that it lacks a device, or that a device lacks a dtype.
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        raise PluginError(
            f"device {name!r} cannot be used with {dtype}: {str(error).splitlines()[0]}",
            where="numerics.device",
            hint="`auto` or `cpu` run anywhere",
        ) from error


def _check_finite(module: nn.Module, *, where: str, dtype: str) -> None:
    import torch

    for name, tensor in module.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"weights {name!r} hold NaN or infinity in {dtype}", where=where)
