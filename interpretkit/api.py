"""The Python calls: load a model, look into it, run a recipe, open a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from interpretkit.contracts.builder import ModelBuilder
from interpretkit.contracts.kinds import MODEL, VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.engine.carry_out import _load, carry_out
from interpretkit.engine.draw import draw as drawn
from interpretkit.engine.export import export as exported
from interpretkit.engine.offered import readers_of
from interpretkit.engine.resolve import parse_options
from interpretkit.engine.together import StepOf, resolved, source_of, together
from interpretkit.errors import InputError, InterpretkitWarning, RecipeError, StorageError, WeightsError
from interpretkit.model.model import Model
from interpretkit.model.outputs.output import Output
from interpretkit.model.outputs.unsaid import Unsaid
from interpretkit.model.preprocessing import Preprocessing
from interpretkit.model.weights.state import read_verified
from interpretkit.recipe.entries import ModelEntry, Numerics
from interpretkit.report.page import render as rendered
from interpretkit.results.result import Result
from interpretkit.runs.files import replace as replace_file
from interpretkit.runs.run import Run
from interpretkit.runs.run import open_run as open_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from PIL.Image import Image

    from interpretkit.contracts.registry import Registry
    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.engine.events import Event
    from interpretkit.model.layout import Layout
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
        weights: As in a recipe: `"random"`, `"builtin"`, `"DEFAULT"`, `{"path": …}`, `{"package": …, "file": …}`, or
            `{"hub": …, "otherwise": "random"}`.
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
    layouts: Mapping[str, Layout] | None = None,
    name: str = "",
) -> Model:
    """Make a model of your own network.

    Args:
        module: The network; its mode, weights and hooks are left alone.
        transform: Turns a PIL image into a tensor `(channel, y, x)`, or is a processor of transformers or a transform
            of albumentations; by default the usual one of ImageNet. Images of other than 8 bits come as they are
            stored, unless it is an `EightBit`.
        classes: Names of classes by index; of a network that returns one number, the name of what it tells, or the
            names `(negative, positive)` of what it tells apart. Where `output` is given, the names are in it.
        output: How what the network returns is read: `Classes`, `Labels`, `Values`, …; or several outputs by name, the
            usual first. Where it is not said, the network's last operation tells: a softmax, a sigmoid. Where that
            tells nothing either, no number is called a probability.
        aliases: Short names for layers, each for a path of `named_modules()`.
        layouts: How layers lay out what they return, by pattern, where their shapes leave a doubt: tokens after patches
            were merged are `{"stages.2.**": Layout(kind="tokens", patch=(32, 32))}`.
        name: What figures call it; by default its class.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
        >>> print(wrap(net, name="tiny").layers(size=(9, 9)))
        layer  kind    output  stride  receptive field  parameters
        0      Conv2d  4×4×4        2                3         112
        1      ReLU    4×4×4        2                3           0
    """
    import torch

    from interpretkit.capture.networks import plain

    if not isinstance(module, torch.nn.Module):
        raise InputError(f"an nn.Module is wanted, not a {type(module).__name__}")
    _check_weights(module)
    if len(classes) and output is not None:
        raise InputError(
            "classes are names for a network whose output is not said, and the output is said too",
            hint="give the names there: output=Classes(names=…)",
        )
    outputs = Unsaid(names=classes) if output is None else output
    return Model(
        module=module,
        name=name or type(plain(module)).__name__,
        preprocessing=transform or Preprocessing(),
        outputs={"output": outputs} if isinstance(outputs, Output) else dict(outputs),
        aliases=dict(aliases or {}),
        layouts=dict(layouts or {}),
    )


def _check_weights(module: torch.nn.Module) -> None:
    """Check that a network has weights, and that gradients can be taken of them."""
    from torch.nn.parameter import is_lazy

    for name, weight in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(weight):
            what = f"{name} has no values yet: a lazy layer makes its weights in its first pass, at random"
            raise InputError(what, hint="load the weights first, or run the network once on a batch: net(images)")
        if weight.is_meta:
            what = f"{name} lies on the device meta, where no tensor has values"
            raise InputError(what, hint="load the weights first: net.load_state_dict(…, assign=True)")
        if weight.is_inference():
            what = f"{name} was made under torch.inference_mode, so no gradients can be taken"
            raise InputError(what, hint="build the network outside of it, or give copy.deepcopy(net)")


def step(visualizer: str | type[Visualizer], *, of: Sequence[str] = (), **options: Any) -> StepOf:
    """Say what a step of `visualize` is to do.

    Args:
        visualizer: The id of a visualizer, as `interpretkit plugins` lists it, or a class of your own.
        of: Ids of the steps that it reads.
        **options: The visualizer's own options, as `interpretkit show NAME` lists them.

    Example:
        >>> step("compare", of=["cam", "saliency"]).of
        ('cam', 'saliency')
    """
    return StepOf(visualizer=visualizer, of=(of,) if isinstance(of, str) else tuple(of), options=options)


@overload
def visualize(
    model: Model | torch.nn.Module,
    images: Any,
    visualizer: str | type[Visualizer] | StepOf,
    *,
    of: Mapping[str, Result] | None = None,
    batch_size: int = 16,
    plugins: Sequence[str | Path] = (),
    **options: Any,
) -> Result: ...


@overload
def visualize(
    model: Model | torch.nn.Module,
    images: Any,
    visualizer: Mapping[str, StepOf | str | type[Visualizer]],
    *,
    of: Mapping[str, Result] | None = None,
    batch_size: int = 16,
    plugins: Sequence[str | Path] = (),
) -> dict[str, Result]: ...


def visualize(
    model: Model | torch.nn.Module,
    images: Any,
    visualizer: str | type[Visualizer] | StepOf | Mapping[str, StepOf | str | type[Visualizer]],
    *,
    of: Mapping[str, Result] | None = None,
    batch_size: int = 16,
    plugins: Sequence[str | Path] = (),
    **options: Any,
) -> Result | dict[str, Result]:
    """Compute what one visualizer, or several steps together, say of some images.

    Several steps share one forward pass, and one backward pass for each distinct target, as in a recipe.

    Args:
        model: What to look into; a bare `nn.Module` is wrapped with the usual preprocessing.
        images: A tensor `(image, channel, y, x)` as the model is fed; or one or several paths, folders or globs, PIL
            images, or arrays `(y, x)` or `(y, x, channel)`, which are preprocessed; or a list, an iterator, a `Dataset`
            or a `DataLoader` of these, which is gone through batch by batch. A pair `(image, label)` and a mapping with
            `image` or `pixel_values`, `label` or `labels`, are an image with its label, as the target `label` takes it.
        visualizer: Its id, as `interpretkit plugins` lists it; a class of your own; or what `step` returns. Several are
            given by id: `{"cam": ik.step("grad_cam", layers=["stage4"]), "how": ik.step("sparseness", of=["cam"])}`.
        of: Results that it reads, by a name for each; for the same images.
        batch_size: Images per shared pass.
        plugins: Python files with hookimpls to load besides the installed plugins.
        **options: The visualizer's own options, as `interpretkit show NAME` lists them.

    Returns:
        The result, with an image dim over all images (or about the whole set, if the visualizer is a reduction); of
        several steps the results by id.

    Raises:
        RecipeError: If there is no such visualizer, option or layer, or a step cannot read what it is to read.
        InputError: If an image cannot be read, the images' maps differ in size, or `of` is not about the same images.
        StepError: If it fails.

    Warns:
        InterpretkitWarning: Of what a reader of the results must know, such as weights that are random; each result has
            it in `alerts` too. Of files in a folder that are no images and are left out.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
        >>> result = visualize(net, torch.zeros(2, 3, 9, 9), "feature_grid", layers=["1"])
        >>> result.maps["1"].values.shape
        (2, 4, 4, 4)
        >>> steps = {"maps": step("feature_grid", layers=["1"]), "numbers": step("channel_stats", layers=["1"])}
        >>> sorted(visualize(net, torch.zeros(2, 3, 9, 9), steps))
        ['maps', 'numbers']
    """
    registry = discover(plugins)
    read = of or {}
    if not isinstance(read, Mapping) or not all(isinstance(result, Result) for result in read.values()):
        raise InputError("`of` holds results by name", hint='such as of={"cam": visualize(…)}')
    live, readers = _as_model(model), readers_of(registry)
    source = source_of(images, readers)
    compute = partial(together, live, source, given=read, batch_size=batch_size, readers=readers)
    if isinstance(visualizer, Mapping):
        if options:
            raise RecipeError(f"{next(iter(options))!r} is an option of no step", hint="give it to `step`")
        asked = {name: each if isinstance(each, StepOf) else step(each) for name, each in visualizer.items()}
        return _told(compute(resolved(asked, read, registry)))
    if isinstance(visualizer, StepOf) and options:
        raise RecipeError(f"{next(iter(options))!r} stands beside a step", hint="give it to `step`")
    whole = visualizer if isinstance(visualizer, StepOf) else step(visualizer, **options)
    only = whole.visualizer if isinstance(whole.visualizer, str) else getattr(whole.visualizer, "name", "step")
    asked = {only: replace(whole, of=(*whole.of, *read))}
    return _told(compute(resolved(asked, read, registry)))[only]


def _told(results: dict[str, Result]) -> dict[str, Result]:
    """Return results once each of their alerts is a warning, where the call of `visualize` stands."""
    for text in dict.fromkeys(alert for result in results.values() for alert in result.alerts):
        warnings.warn(text, InterpretkitWarning, stacklevel=3)
    return results


def draw(result: Result, *, plugins: Sequence[str | Path] = ()) -> list[Figure]:
    """Draw the figures of a result of `visualize` or of a stored run, as a run would.

    Args:
        result: The result; it knows what has made it.
        plugins: Python files with hookimpls to load besides the installed plugins, for results of a stored run.

    Returns:
        Figures with `picture` (a PIL image), `caption` and `alt`; image by image.

    Raises:
        InputError: If the result was put together by hand.
        RecipeError: If it is stored, and its visualizer is not installed.
        StepError: If drawing fails.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
        >>> result = visualize(net, torch.rand(1, 3, 9, 9), "feature_grid", layers=["1"])
        >>> [figure.name for figure in draw(result)]
        ['1']
    """
    return [figure for _, figure in drawn(_visualizer_of(result, plugins), result)]


def run(
    recipe: str | Path | Mapping[str, Any],
    *,
    model: Model | torch.nn.Module | Mapping[str, Model | torch.nn.Module] | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the command line's --set
    images: Any = None,
    output: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    listen: Callable[[Event], None] = lambda _event: None,
    executor: str = "local",
) -> Run:
    """Carry out a recipe and return its sealed run.

    A step or an image that fails does not raise: `status` is `"failed"` then, the manifest says why, and what worked
    is there.

    Args:
        recipe: Path of the YAML file; or the recipe itself, as a dict.
        model: A live model, or a bare `nn.Module`, in place of the recipe's, or several by key. It stays as it is: a
            training loop can leave a run of every epoch. The run knows it by its digest, and says "given in Python".
        set: Values to change in the recipe first, by dotted path: `{"model.with.variant": "B0"}`.
        images: What to look at instead of the recipe's inputs, if anything: all that `visualize` takes.
        output: Directory that gets the run's directory.
        plugins: Python files with hookimpls to load besides the installed plugins.
        listen: Called with every `Event` while the run goes on: a step begins, makes progress, says what a reader must
            know, is done. If it fails, it is not called again; the run goes on, and a warning says so at its end.
        executor: Where the batches are worked on: the id of an executor, as `interpretkit plugins` lists it.

    Raises:
        InterpretkitError: If the recipe, the weights, every image, or the disk is no good.
        KeyboardInterrupt: As it comes, when what there is has been sealed; the event `sealed` says where.

    Example:
        >>> import tempfile, torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        >>> steps = [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["0"]}}]
        >>> recipe = {"schema": "interpretkit/1", "name": "epoch1", "steps": steps}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     finished = run(recipe, model=net, images=torch.rand(2, 3, 9, 9), output=folder)
        ...     finished.status, finished.results["cam"].maps["0"].values.shape
        ('complete', (2, 7, 7))
    """
    if not isinstance(recipe, str | Path | Mapping):
        raise RecipeError(f"a recipe is the path of a file, or a dict, not a {type(recipe).__name__}")
    several = model if isinstance(model, Mapping) else {} if model is None else {"model": model}
    finished = carry_out(
        recipe,
        settings=tuple((set or {}).items()),
        images=[images] if isinstance(images, str | Path) else images,
        models={key: _as_model(each) for key, each in several.items()},
        output=output,
        plugins=plugins,
        executor=executor,
        listen=listen,
    )
    return open_run(finished.run.path)


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
    return rendered(run)


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
        RecipeError: If there is no such run, exporter or option, or the folder is part of a run.
        PluginError: If the exporter fails, or a package that it needs is not installed.
        StorageError: If the run cannot be read, or the folder cannot be written.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    return exported(opened, exporter, output=output, plugins=plugins, options=options)


def _as_model(model: Model | torch.nn.Module) -> Model:
    """Return a model; a bare network is wrapped.

    Raises:
        InputError: If it is neither.
    """
    import torch

    if isinstance(model, Model):
        return model
    if isinstance(model, torch.nn.Module):
        return wrap(model)
    raise InputError(
        f"a model is wanted, not a {type(model).__name__}", hint="give what `load_model` or `wrap` returns"
    )


def _visualizer_of(result: Result, plugins: Sequence[str | Path]) -> Visualizer:
    """Return the visualizer that made a result: the live one, or that of the id that a stored run says."""
    if not isinstance(result, Result):
        raise InputError(f"a result is wanted, not a {type(result).__name__}", hint="give what `visualize` returns")
    origin = result.origin
    if origin is None:
        raise InputError("this result was put together by hand, so nothing says how it is drawn")
    if origin.visualizer is not None:
        return cast("Visualizer", origin.visualizer)
    found = discover(plugins).find(VISUALIZER, origin.uses)
    return found.offer(parse_options(found.offer, origin.options))


def convert(
    checkpoint: str | Path,
    output: str | Path,
    *,
    model: str = "",
    key: str = "",
    plugins: Sequence[str | Path] = (),
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write the weights of a checkpoint in the form meant for deployment, as safetensors.

    The file's metadata name the model and the SHA-256 of the checkpoint.

    Args:
        checkpoint: A safetensors file or a PyTorch checkpoint; nothing in it is run.
        output: The file to write; it must not exist yet.
        model: Id of the model whose weights they are; by default the only one that has such a form.
        key: Which of several sets of weights in the checkpoint, such as `state_dict_ema`.
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
    registry = discover(plugins)
    builder = registry.find(MODEL, model or _only(registry)).offer
    converter = builder(parse_options(builder, options or {}))
    state, digest = read_verified(Path(checkpoint), key=key)
    try:
        converted = converter.convert(state)
    except WeightsError as error:
        raise error.at(str(checkpoint)) from error.__cause__
    metadata = {"format": "pt", "model": builder.name, "source_sha256": digest}
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
