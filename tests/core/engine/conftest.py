from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import Field

import interpretkit as ik
from interpretkit.contracts.needs import Needs
from interpretkit.contracts.registry import Plugin
from interpretkit.contracts.visualizer import Visualizer
from interpretkit.engine.batch import compute
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step
from interpretkit.inputs.batch import tensor_batches
from interpretkit.results.result import Result
from interpretkit.runs.verify import verify
from interpretkit.testing import tiny_images


class Reader(Visualizer):
    """Wants activations and gradients; keeps what it is given."""

    name = "reader"

    class Options(Visualizer.Options):
        layers: list[str]
        gradients: list[str] = Field(default_factory=list)
        target: int = 0

    options: Options

    def needs(self):
        target = self.options.target if self.options.gradients else None
        return Needs(activations=self.options.layers, gradients=self.options.gradients, target=target)

    def compute(self, captured):
        self.captured = captured
        return Result()


def planned(identifier, visualizer, model, **more):
    step = Step(id=identifier, visualizer=visualizer, plugin=Plugin("test"), model="model", **more)
    return plan_step(step, model)


def outcome_of(model, steps, images=None):
    plan = Plan(models={"model": model}, steps=tuple(planned(name, each, model) for name, each in steps.items()))
    (batch,) = tensor_batches(tiny_images() if images is None else images, plan.models, batch_size=16)
    return compute(plan, batch)


def reader(**options):
    return Reader(Reader.Options(**options))


@pytest.fixture(name="planned")
def _planned():
    return planned


@pytest.fixture(name="outcome_of")
def _outcome_of():
    return outcome_of


@pytest.fixture(name="reader")
def _reader():
    return reader


PLUGIN = """
from torch import nn
from interpretkit import Model, ModelBuilder, Preprocessing, hookimpl


class Free(ModelBuilder):
    '''A net for images of any size.'''
    name = "free"

    class Options(ModelBuilder.Options):
        width: int = 4
        '''Channels.'''

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, self.options.width, 3, padding=1), nn.ReLU(inplace=True))
        net.add_module("pool", nn.AdaptiveAvgPool2d(1))
        net.add_module("flat", nn.Flatten())
        net.add_module("head", nn.Linear(self.options.width, 3))
        if state is not None:
            net.load_state_dict(state)
        return Model(module=net, name=f"Free-{self.options.width}", preprocessing=Preprocessing(resize=None, crop=None))


@hookimpl
def interpretkit_models():
    yield Free
"""


RECIPE = Path(__file__).with_name("recipe.yaml").read_text()


SIZES = {"a": (8, 6), "b": (8, 6), "c": (5, 9), "d": (8, 6)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for name, (width, height) in SIZES.items():
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "faulty.py").write_text(FAULTY)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**more):
    return ik.run("recipe.yaml", plugins=["plugin.py"], **more)


FAULTY = """
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from interpretkit import Figure, Map, Needs, Reduction, Result, Table, Visualizer, hookimpl

WRONG = {
    "number": lambda ids, map: Result(maps={0: map}),
    "array": lambda ids, map: Result(maps={"m": map.values}),
    "list": lambda ids, map: Result(tables=[Table(image=ids)]),
    "dict": lambda ids, map: Result(tables={"good": Table(image=ids), "bad": {"image": ids}}),
    "column": lambda ids, map: Result(tables={"t": Table({"image": ids, 3: ids})}),
    "stranger": lambda ids, map: Result(tables={"t": Table(image=["somebody"], x=[1])}),
    "object": lambda ids, map: Result(tables={"good": Table(image=ids), "t": Table(image=ids, x=[None for _ in ids])}),
    "tensor": lambda ids, map: Result(maps={"m": Map(**{**MAP, "values": torch.zeros(len(ids), 1, 1)})}),
}
MAP = {"dims": ("image", "y", "x"), "layer": "0", "extent": {"y": 8, "x": 8}, "polarity": "signed"}


class Faulty(Visualizer):
    '''Does it wrong.'''
    name = "faulty"

    class Options(Visualizer.Options):
        how: str
        '''How.'''

    def needs(self):
        if self.options.how == "needs":
            raise ValueError("no\\nidea")
        return Needs(activations="0" if self.options.how == "text" else ["0"])

    def compute(self, captured):
        ids = [image.id for image in captured.images]
        map = Map(values=np.zeros((len(ids), 1, 1)), **MAP)
        return WRONG.get(self.options.how, lambda ids, map: Result(maps={"m": map}))(ids, map)

    def draw(self, result):
        if self.options.how == "draw" and result.images[0].id == "a":
            raise ValueError("no\\npen")
        yield Figure(name="m", picture=Image.new("RGB", (9, 9)), caption="c", alt="a")


class FaultyReduction(Faulty, Reduction):
    '''Does it wrong for all images.'''
    name = "faulty_reduction"

    def merge(self, first, second):
        if self.options.how == "merge":
            raise ValueError("no\\nsum")
        return None if self.options.how == "none" else first

    def finish(self, result):
        if self.options.how == "finish":
            raise ValueError("no\\nend")
        return {"few": None}.get(self.options.how, result)

    def draw(self, result):
        return ()


class MeanOfMaxima(Reduction):
    '''The mean of the images' maxima: merged as a sum and a number, stored as their ratio.'''
    name = "mean_of_maxima"

    def needs(self):
        return Needs(activations=["0"])

    def compute(self, captured):
        maxima = captured.activations["0"].amax((1, 2, 3)).double()
        return Result(tables={"sums": Table(sum=[float(maxima.sum())], count=[len(maxima)])})

    def merge(self, first, second):
        both = first.tables["sums"], second.tables["sums"]
        return Result(tables={"sums": Table({name: both[0][name] + both[1][name] for name in ("sum", "count")})})

    def finish(self, result):
        sums = result.tables["sums"]
        return Result(tables={"mean": Table(mean=sums["sum"] / sums["count"])})

    def draw(self, result):
        mean = result.tables["mean"]["mean"][0]
        yield Figure(name="mean", picture=Image.new("RGB", (9, 9)), caption=f"mean {mean}", alt="a")


@hookimpl
def interpretkit_visualizers():
    yield Faulty
    yield FaultyReduction
    yield MeanOfMaxima
"""


def faulty(folder, how, *, uses="faulty", **more):
    step = f"  - {{id: wrong, uses: {uses}, model: wide, with: {{how: {how}}}}}\n"
    (folder / "recipe.yaml").write_text(RECIPE.replace("numerics:", f"{step}numerics:"))
    opened = ik.run("recipe.yaml", plugins=["plugin.py", "faulty.py"], **more)
    assert verify(opened.path) == []
    return opened, {step["id"]: step for step in opened.manifest["steps"]}


@pytest.fixture(name="sizes")
def _sizes():
    return SIZES


@pytest.fixture(name="run")
def _run():
    return run


@pytest.fixture(name="faulty")
def _faulty():
    return faulty


class Own(ik.Visualizer):
    """Does what a test asks for."""

    name = "own"
    work = staticmethod(lambda _captured: None)

    def needs(self):
        return ik.Needs(own_passes=True, target="predicted")

    def compute(self, captured):
        type(self).found = type(self).work(captured)
        return ik.Result()


def outcome_with(model, images, steps, work):
    Own.work = staticmethod(work)
    resolved = [Step(id=name, visualizer=each, plugin=Plugin("test"), model="model", of=of) for name, each, of in steps]
    plan = Plan(models={"model": model}, steps=tuple(plan_step(step, model) for step in resolved))
    (batch,) = tensor_batches(images, plan.models, batch_size=len(images))
    return compute(plan, batch)


def own(model, images, work, *earlier):
    Own.reads = ik.Reads("attribution", least=len(earlier)) if earlier else None
    steps = [*((name, each, ()) for name, each in earlier), ("own", Own(Own.Options()), tuple(n for n, _ in earlier))]
    outcome = outcome_with(model, images, steps, work)
    for failure in outcome.failures.values():
        raise failure
    return Own.found


def grad_cam(**options):
    from interpretkit.engine.resolve import parse_options
    from interpretkit_cam.grad_cam import GradCAM

    return GradCAM(parse_options(GradCAM, {"layers": ["features"], **options}))


@pytest.fixture(name="own")
def _own():
    return own


@pytest.fixture(name="outcome_with")
def _outcome_with():
    return outcome_with


@pytest.fixture(name="grad_cam")
def _grad_cam():
    return grad_cam
