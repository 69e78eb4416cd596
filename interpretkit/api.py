"""The Python calls: load a model, look into it, run a recipe, open a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit import words
from interpretkit.contracts.builder import ModelBuilder
from interpretkit.contracts.kinds import MODEL, VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.contracts.visualizer import Reduction
from interpretkit.digests import sha256_file
from interpretkit.engine import numerics
from interpretkit.engine.batch import compute
from interpretkit.engine.carry_out import _load, carry_out
from interpretkit.engine.draw import draw as drawn
from interpretkit.engine.export import export as exported
from interpretkit.engine.offered import readers_of
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import ResolvedStep, parse_options
from interpretkit.errors import InputError, RecipeError, StorageError, WeightsError
from interpretkit.inputs.batch import batches, tensor_batches
from interpretkit.inputs.read import given_images
from interpretkit.model.model import Model
from interpretkit.model.outputs.classes import Classes
from interpretkit.model.outputs.output import Output
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.model.weights.state import read_state
from interpretkit.recipe.entries import ModelEntry, Numerics
from interpretkit.report.page import render as rendered
from interpretkit.results.map import Map
from interpretkit.results.result import Result
from interpretkit.results.table import Table
from interpretkit.runs.files import replace as replace_file
from interpretkit.runs.run import Run
from interpretkit.runs.run import open_run as open_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from PIL.Image import Image

    from interpretkit.contracts.registry import Registry
    from interpretkit.inputs.batch import Batch
    from interpretkit.results.axes import Array
    from interpretkit.results.figure import Figure


def load_model(
    name: str,
    /,
    *,
    weights: str | Mapping[str, Any] = "random",
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float32",
    **options: Any,
) -> Model:
    """Build a registered model.

    Args:
        name: Its id, as `interpretkit plugins` lists it.
        weights: As in a recipe: `"random"`, `"DEFAULT"`, `{"path": …}`, or `{"hub": …, "otherwise": "random"}`.
        seed: Of the random weights.
        device: `auto`, `cpu`, `cuda`, …
        dtype: `float32`, `float64`, `bfloat16` or `float16`.
        **options: The model's own options, as `interpretkit show NAME` lists them.

    Raises:
        RecipeError: If there is no such model or option.
        WeightsError: If the weights cannot be read or do not fit.

    Example:
        >>> model = load_model("repvgg", variant="B0")
        >>> len(model.classes), model.notes
        (1000, ('untrained',))
    """
    entry = ModelEntry.parse({"uses": name, "weights": weights})
    builder = discover().find(MODEL, name).offer
    setting = Numerics.parse({"seed": seed, "device": device, "dtype": dtype})
    return _load(builder(parse_options(builder, options)), entry, setting)


def wrap(
    module: torch.nn.Module,
    *,
    transform: Callable[[Image], torch.Tensor] | None = None,
    classes: Sequence[str] = (),
    output: Output | Mapping[str, Output] | None = None,
    aliases: Mapping[str, str] | None = None,
    name: str = "",
) -> Model:
    """Make a model of your own network.

    Args:
        module: The network; its mode, weights and hooks are left alone.
        transform: Turns a PIL image into a tensor `(channel, y, x)`; by default the usual one of ImageNet.
        classes: Class names by index, of a network that returns logits or a distribution.
        output: How what the network returns is read, if in another way; or several outputs by name, the usual first.
        aliases: Short names for layers, each for a path of `named_modules()`.
        name: What figures call it; by default its class.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
        >>> print(wrap(net, name="tiny").layers(size=(9, 9)))
        layer  kind    output  stride  receptive field  parameters
        0      Conv2d  4×4×4        2                3         112
        1      ReLU    4×4×4        2                3           0
    """
    outputs = Classes(names=tuple(classes)) if output is None else output
    return Model(
        module=module,
        name=name or type(module).__name__,
        preprocessing=transform or Preprocessing(),
        outputs={"output": outputs} if isinstance(outputs, Output) else dict(outputs),
        aliases=dict(aliases or {}),
    )


def visualize(
    model: Model,
    images: Any,
    visualizer: str,
    *,
    of: Mapping[str, Result] | None = None,
    batch_size: int = 16,
    **options: Any,
) -> Result:
    """Compute one visualizer's result for some images.

    Args:
        model: What to look into.
        images: A tensor `(image, channel, y, x)` as the model is fed, or one or several paths or PIL images.
        visualizer: Its id, as `interpretkit plugins` lists it.
        of: Results that it reads, by a name for each; for the same images.
        batch_size: Images per shared pass.
        **options: The visualizer's own options, as `interpretkit show NAME` lists them.

    Returns:
        The result, with an image dim over all images (or about the whole set, if the visualizer is a reduction).

    Raises:
        RecipeError: If there is no such visualizer, option or layer.
        InputError: If an image cannot be read, the images' maps differ in size, or `of` is not about the same images.
        StepError: If it fails.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
        >>> result = visualize(wrap(net), torch.zeros(2, 3, 9, 9), "feature_grid", layers=["1"])
        >>> result.maps["1"].values.shape
        (2, 4, 4, 4)
    """
    step = _step(visualizer, options, of=tuple(of or ()))
    if len(step.of) < (step.visualizer.reads.least if step.visualizer.reads else 0):
        raise RecipeError(f"{visualizer} reads earlier results", hint="give them as of={'a name': result}")
    one_step = Plan(models={"model": model}, steps=(plan_step(step, model),))
    results = []
    setting = Numerics.parse({"batch_size": batch_size})
    with numerics.in_force(setting):
        for batch in _batches(images, one_step.models, setting.batch_size):
            given = {name: each.select(*(image.id for image in batch.images)) for name, each in (of or {}).items()}
            outcome = compute(one_step, batch, given=given)
            for failure in outcome.failures.values():
                raise failure
            results.append(outcome.results[visualizer])
    return _joined(step, results)


def draw(model: Model, result: Result, visualizer: str, **options: Any) -> list[Figure]:
    """Draw the figures of a result of `visualize`, as a run would.

    Args:
        model: What the result was computed from.
        result: The result.
        visualizer: The id of the visualizer that computed it.
        **options: The same options.

    Returns:
        Figures with `picture` (a PIL image), `caption` and `alt`; image by image.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
        >>> result = visualize(wrap(net), torch.rand(1, 3, 9, 9), "feature_grid", layers=["1"])
        >>> [figure.name for figure in draw(wrap(net), result, "feature_grid", layers=["1"])]
        ['1']
    """
    return [figure for _, figure in drawn(_step(visualizer, options), result, model)]


def run(
    recipe: str | Path,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the command line's --set
    images: str | Path | Sequence[str | Path] = (),
    output: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    executor: str = "local",
) -> Run:
    """Carry out a recipe and return its sealed run.

    A step or an image that fails does not raise: `status` is `"failed"` then, the manifest says why, and what worked
    is there.

    Args:
        recipe: Path of the YAML file.
        set: Values to change in it first, by dotted path: `{"model.with.variant": "B0"}`.
        images: One or several paths, folders or globs to look at instead of the recipe's inputs.
        output: Directory that gets the run's directory.
        plugins: Python files with hookimpls to load besides the installed plugins.
        executor: Where the batches are worked on: the id of an executor, as `interpretkit plugins` lists it.

    Raises:
        InterpretkitError: If the recipe, the weights, every image, or the disk is no good.
    """
    settings = tuple((set or {}).items())
    given = [str(each) for each in ([images] if isinstance(images, str | Path) else images)]
    finished = carry_out(recipe, settings=settings, images=given, output=output, plugins=plugins, executor=executor)
    return open_run(finished.path)


def open_run(path: str | Path) -> Run:
    """Open a sealed run directory; results are read when they are asked for.

    Raises:
        RecipeError: If it is no run, or one of a newer interpretkit.
    """
    return open_stored(Path(path))


def render(run: Run) -> str:
    """Return the report of a run as the text of one self-contained HTML page.

    What it links to (tables, arrays, figures beyond the embedded ones) are files of the run, by their paths in it.
    """
    return rendered(run.path, run.manifest)


def export(
    run: Run | str | Path,
    exporter: str,
    /,
    *,
    output: str | Path,
    plugins: Sequence[str | Path] = (),
    **options: Any,
) -> Path:
    """Write a run in another form.

    Args:
        run: The run, or its directory; nothing in it is changed.
        exporter: The id of an exporter, as `interpretkit plugins` lists it.
        output: The folder to write into.
        plugins: Python files with hookimpls to load besides the installed plugins.
        **options: The exporter's own options, as `interpretkit show NAME` lists them.

    Returns:
        What a user opens: a file, or the folder.

    Raises:
        RecipeError: If there is no such run, exporter or option, or the folder is part of the run.
        PluginError: If the exporter fails, or a package that it needs is not installed.
        StorageError: If the run cannot be read, or the folder cannot be written.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    return exported(opened, exporter, output=output, plugins=plugins, options=options)


def _batches(images: Any, models: Mapping[str, Model], batch_size: int) -> Iterator[Batch]:
    if hasattr(images, "ndim"):
        return tensor_batches(images, models, batch_size=batch_size)
    return batches(given_images(images, readers=readers_of(discover())), models, batch_size=batch_size)


def _step(visualizer: str, options: Mapping[str, Any], *, of: tuple[str, ...] = ()) -> ResolvedStep:
    if not isinstance(visualizer, str):
        raise RecipeError(f"{visualizer!r} is no id of a visualizer", hint="give its `name`, as text")
    found = discover().find(VISUALIZER, visualizer)
    parsed = found.offer(parse_options(found.offer, options))
    return ResolvedStep(id=visualizer, visualizer=parsed, plugin=found.plugin, model="model", of=of)


def _joined(step: ResolvedStep, results: Sequence[Result]) -> Result:
    """Return the results of all batches as one."""
    first, *others = results
    if isinstance(step.visualizer, Reduction):
        for other in others:
            first = step.visualizer.merge(first, other)
        return step.visualizer.finish(first)
    arrays: dict[str, Array] = {}
    for name, each in (*first.maps.items(), *first.arrays.items()):
        values = [{**result.maps, **result.arrays}[name].values for result in results]
        if len({array.shape[1:] for array in values}) > 1:
            shapes = ", ".join(sorted({words.shape(array.shape[1:]) for array in values}))
            raise InputError(
                f"the maps {name!r} differ in size: {shapes}", hint="visualize images of one size at a time"
            )
        arrays[name] = replace(each, values=np.concatenate(values))
    tables = {name: Table.stacked([result.tables[name] for result in results]) for name in first.tables}
    return Result(
        maps={name: each for name, each in arrays.items() if isinstance(each, Map)},
        arrays={name: each for name, each in arrays.items() if not isinstance(each, Map)},
        tables=tables,
        images=tuple(image for result in results for image in result.images),
        targets=tuple(target for result in results for target in result.targets),
    )


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
    builder = registry.find(MODEL, model or _only(registry)).offer
    converter = builder(parse_options(builder, options or {}))
    state = read_state(Path(checkpoint))
    try:
        converted = converter.convert(state)
    except WeightsError as error:
        raise error.at(str(checkpoint)) from error.__cause__
    metadata = {"format": "pt", "model": builder.name, "source_sha256": sha256_file(Path(checkpoint))}
    tensors = {name: tensor.contiguous() for name, tensor in converted.items()}
    replace_file(path.parent, path.name, save(tensors, metadata))
    return path


def _only(registry: Registry) -> str:
    names = [name for name, found in registry.of(MODEL).items() if found.offer.convert is not ModelBuilder.convert]
    if len(names) != 1:
        what = f"{len(names)} models have a form for deployment" if names else "no model has a form for deployment"
        hint = f"choose one by --model: {', '.join(names)}" if names else "`interpretkit plugins` lists what there is"
        raise RecipeError(what, hint=hint)
    return names[0]
