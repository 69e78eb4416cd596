"""What plugin authors test with: a tiny model, and checks that every visualizer should pass.

from interpretkit.testing import check_visualizer

def test_energy():
    check_visualizer(Energy, layers=["features"])
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from interpretkit.contracts.citations import citations_of
from interpretkit.contracts.registry import Plugin
from interpretkit.contracts.visualizer import Visualizer
from interpretkit.digests import array_digest, state_digest
from interpretkit.engine.batch import compute
from interpretkit.engine.gather import Gather
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step, parse_options
from interpretkit.errors import PluginError
from interpretkit.inputs.batch import tensor_batches
from interpretkit.model.model import Model
from interpretkit.model.outputs.classes import Classes
from interpretkit.results import ranks
from interpretkit.results.figure import Figure
from interpretkit.results.result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit.contracts.options import Options

SIZE = 16


def tiny_model(*, classes: int = 3, seed: int = 0) -> Model:
    """Return an untrained two-layer classifier of 16×16 images; layers `features` (4×8×8) and `pool`, `head`.

    Its ReLU works in place, as many networks' do.

    Example:
        >>> print(tiny_model().layers("features", size=(16, 16)))
        layer     kind        output  stride  receptive field  parameters
        features  Sequential  4×8×8        2                3         112
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential()
        module.add_module("features", nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(inplace=True)))
        module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        module.add_module("head", nn.Linear(4, classes))
    names = tuple(f"class {index}" for index in range(classes))
    return Model(module=module.eval(), name="tiny", outputs={"classes": Classes(names=names)}, notes=("untrained",))


def tiny_images(count: int = 4, *, seed: int = 0) -> Any:
    """Return seeded random images `(image, channel, y, x)` = `(count, 3, 16, 16)` as `tiny_model` is fed."""
    import torch

    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def check_visualizer(
    visualizer: type[Visualizer],
    *,
    of: Mapping[str, Result | Visualizer] | None = None,
    model: Model | None = None,
    images: Any = None,
    **options: Any,
) -> None:
    """Check that a visualizer keeps its contract.

    Every option is described, and every citation has its entry; results are the same twice, and the same whatever the
    grouping into batches; the model is left as found; figures have a name, a caption and alt text, and drawing changes
    nothing.

    Args:
        visualizer: The class.
        of: Results that it reads, for the same images; or visualizers, as steps that it can have computed once more.
        model: What to look into; by default `tiny_model()`.
        images: `(image, channel, y, x)`; by default `tiny_images()`.
        **options: The visualizer's options.

    Raises:
        AssertionError: If it breaks the contract; the message says how.
    """
    model = model or tiny_model()
    images = tiny_images() if images is None else images
    checked = visualizer(parse_options(visualizer, options))
    _check_described(visualizer.Options)
    _check_citations(visualizer)
    before = state_digest(model.module.state_dict())
    whole = _compute(checked, model, images, of, batch_size=len(images))
    again = _compute(checked, model, images, of, batch_size=len(images))
    _check_same(whole, again, "computed twice, the result differs", tolerance=0.0)
    single = _compute(checked, model, images, of, batch_size=1)
    _check_same(whole, single, "the result depends on the grouping into batches", tolerance=1e-5)
    _check(state_digest(model.module.state_dict()) == before, "the model's weights were changed")
    hooks = sum(len(part._forward_hooks) for part in model.module.modules())  # noqa: SLF001 - torch has no public count
    _check(hooks == 0, f"{hooks} hooks were left on the model")
    _check_drawing(checked, whole)


def _compute(
    visualizer: Visualizer,
    model: Model,
    images: Any,
    of: Mapping[str, Result | Visualizer] | None,
    *,
    batch_size: int,
) -> list[Result]:
    """Return the results image by image, or the one of a reduction."""
    read = of or {}
    earlier = [_step(name, each) for name, each in read.items() if isinstance(each, Visualizer)]
    step = _step("checked", visualizer, of=tuple(read))
    plan = Plan(models={"model": model}, steps=tuple(plan_step(each, model) for each in (*earlier, step)))
    gathered = Gather(step)
    for batch in tensor_batches(images, plan.models, batch_size=batch_size):
        ids = [image.id for image in batch.images]
        given = {name: each.select(*ids) for name, each in read.items() if isinstance(each, Result)}
        outcome = compute(plan, batch, given=given)
        for failure in outcome.failures.values():
            raise failure
        gathered.add(outcome.results["checked"])
    whole = gathered.whole()
    return [whole] if visualizer.per_set else [whole.select(image.id) for image in whole.images]


def _step(name: str, visualizer: Visualizer, *, of: tuple[str, ...] = ()) -> Step:
    return Step(id=name, visualizer=visualizer, plugin=Plugin("checked"), model="model", of=of)


def _check_described(options: type[Options]) -> None:
    bare = [name for name, text in options.descriptions().items() if not text]
    _check(not bare, f"options without a description: {', '.join(bare)}")


def _check_citations(visualizer: type[Visualizer]) -> None:
    try:
        citations_of(visualizer)
    except PluginError as error:
        raise AssertionError(str(error)) from error


def _check_same(first: list[Result], second: list[Result], message: str, *, tolerance: float) -> None:
    for one, other in zip(first, second, strict=True):
        _check(one.maps.keys() == other.maps.keys(), f"{message}: other maps")
        for name, each in one.maps.items():
            _check_close(each.values, other.maps[name].values, f"{message}: map {name!r}", tolerance)
            for fact in ("dims", "layer", "extent", "polarity"):
                same = getattr(each, fact) == getattr(other.maps[name], fact)
                _check(same, f"{message}: {fact} of map {name!r}")
        _check(one.arrays.keys() == other.arrays.keys(), f"{message}: other arrays")
        for name, array in one.arrays.items():
            _check_close(array.values, other.arrays[name].values, f"{message}: array {name!r}", tolerance)
            _check(array.dims == other.arrays[name].dims, f"{message}: dims of array {name!r}")
        _check(one.tables.keys() == other.tables.keys(), f"{message}: other tables")
        for name, table in one.tables.items():
            for column, values in table.columns.items():
                where = f"{message}: table {name!r}, column {column!r}"
                _check_close(values, other.tables[name][column], where, tolerance)


def _check_close(first: np.ndarray, second: np.ndarray, message: str, tolerance: float) -> None:
    _check(first.shape == second.shape and first.dtype.kind == second.dtype.kind, message)
    if tolerance and first.dtype.kind == "f":
        scale = float(np.abs(first[np.isfinite(first)]).max(initial=0.0))
        same = np.allclose(first, second, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    else:
        same = array_digest(first) == array_digest(second)
    _check(same, message)


def _check_drawing(visualizer: Visualizer, results: list[Result]) -> None:
    for result in results:
        kept = replace(
            result,
            maps={name: replace(each, values=each.values.copy()) for name, each in result.maps.items()},
            arrays={name: replace(each, values=each.values.copy()) for name, each in result.arrays.items()},
        )
        # As in a run, what is of the top classes is drawn class by class.
        for part in [result] if visualizer.per_set else ranks.split(result):
            _check_figures([*visualizer.draw(part)])
        _check_same([kept], [result], "draw() changed the result", tolerance=0.0)


def _check_figures(drawn: list[Figure]) -> None:
    names = []
    for figure in drawn:
        _check(isinstance(figure, Figure), f"draw() yields a {type(figure).__name__}, not a Figure")
        empty = [field.name for field in fields(figure) if not getattr(figure, field.name)]
        _check(not empty, f"a figure without {', '.join(empty)}")
        names.append(figure.name)
    _check(len(set(names)) == len(names), f"two figures of one name among {', '.join(names)}")


def _check(condition: bool, message: str) -> None:  # noqa: FBT001 - it is the condition itself
    if not condition:
        raise AssertionError(message)
