"""Checkpoints rewritten in the form that a model's builder means for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit.contracts import ModelBuilder
from interpretkit.errors import RecipeError, StorageError, WeightsError
from interpretkit.plan import parse_options
from interpretkit.provenance import sha256_file
from interpretkit.registry import discover
from interpretkit.rundir.files import replace
from interpretkit.weights import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit.registry import Registry


def convert(
    checkpoint: str | Path,
    output: str | Path,
    *,
    model: str = "",
    plugins: Sequence[str | Path] = (),
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write the weights of a checkpoint in the form meant for deployment, as safetensors.

    The file's metadata name the model and the SHA-256 of the checkpoint.

    Args:
        checkpoint: A safetensors file or a PyTorch checkpoint; nothing in it is run.
        output: The file to write; it must not exist yet.
        model: Id of the model whose weights they are; by default the only one that has such a form.
        plugins: Python files with hookimpls to load besides the installed plugins.
        options: The model's own options; what they leave open, the checkpoint says.

    Returns:
        The path of the file.

    Raises:
        RecipeError: If there is no such model or option, or the model must be named.
        WeightsError: If the weights cannot be read or do not fit, or the model has no such form.
        StorageError: If there is such a file already, or it cannot be written.
    """
    from safetensors.torch import save

    path = Path(output)
    if path.exists():
        raise StorageError("there is such a file already", where=str(path), hint="it is kept; name another")
    registry = discover([Path(plugin) for plugin in plugins])
    builder = registry.model(model or _only(registry)).offer
    converter = builder(parse_options(builder, options or {}))
    state = read_state(Path(checkpoint))
    try:
        converted = converter.convert(state)
    except WeightsError as error:
        raise WeightsError(error.message, where=error.where or str(checkpoint), hint=error.hint) from error
    metadata = {"format": "pt", "model": builder.name, "source_sha256": sha256_file(Path(checkpoint))}
    tensors = {name: tensor.contiguous() for name, tensor in converted.items()}
    replace(path.parent, path.name, save(tensors, metadata))
    return path


def _only(registry: Registry) -> str:
    names = [name for name, found in registry.models.items() if found.offer.convert is not ModelBuilder.convert]
    if len(names) != 1:
        what = f"{len(names)} models have a form for deployment" if names else "no model has a form for deployment"
        hint = f"choose one by --model: {', '.join(names)}" if names else "`interpretkit plugins` lists what there is"
        raise RecipeError(what, hint=hint)
    return names[0]
