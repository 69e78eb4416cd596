from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
import time
import torch
from pydantic import Field
from torch import nn
from interpretkit import Classes, Model, ModelBuilder, Preprocessing, Result, Visualizer, hookimpl


class Tiny(ModelBuilder):
    '''A tiny net.'''
    name = "tiny"

    def build(self, state):
        net = nn.Sequential()
        net.add_module("conv", nn.Conv2d(3, 4, 3, stride=4))
        net.add_module("pair", Pair())
        net.add_module("pool", nn.AdaptiveAvgPool2d(1))
        net.add_module("flat", nn.Flatten())
        net.add_module("head", nn.Linear(4, 3))
        outputs = {"classes": Classes(names=("a", "b", "c"))}
        return Model(module=net, name="Tiny", preprocessing=Preprocessing(resize=32, crop=32), outputs=outputs)


class Pair(nn.Module):
    def forward(self, x):
        self.split(x)
        return x

    @property
    def split(self):
        return self.part

    def __init__(self):
        super().__init__()
        self.part = Split()


class Split(nn.Module):
    def forward(self, x):
        return x, x


class Faulty(Visualizer):
    '''Breaks its contract in the way asked for.'''
    name = "faulty"

    class Options(Visualizer.Options):
        how: str
        '''In what way.'''
        words: list[str] = Field(default_factory=lambda: ["a", "b"])
        '''Words.'''

    def needs(self):
        from interpretkit import Needs
        return Needs(activations=["conv"])

    def compute(self, captured):
        how = self.options.how
        if how == "raise":
            raise ValueError("kaput")
        if how == "type":
            return {"no": "result"}
        if how == "nan":
            values = captured.activations["conv"]
            return Result(maps={"conv": captured.map("conv", values / (values * 0), polarity="signed")})
        if how == "write":
            captured.activations["conv"].zero_()
        if how == "hang":
            open("started", "w").close()
            time.sleep(60)
        return Result()

    def draw(self, result):
        if self.options.how == "draw":
            raise KeyError("nothing to draw with")
        if self.options.how == "name":
            from PIL import Image
            from interpretkit import Figure
            yield Figure(name="../../evil", picture=Image.new("RGB", (8, 8)), caption="x", alt="x")


@hookimpl
def interpretkit_models():
    yield Tiny


@hookimpl
def interpretkit_visualizers():
    yield Faulty
"""


RECIPE = Path(__file__).with_name("recipe.yaml").read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: object, **more) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "interpretkit", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, **more)


def cli(capsys, monkeypatch, *words: object) -> tuple[int, str, str]:
    """Run the command in this process, since starting torch takes seconds."""
    from interpretkit.__main__ import main

    monkeypatch.setattr(sys, "argv", ["interpretkit", *map(str, words)])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        main()
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def run(capsys, monkeypatch, folder):
    def call(*words: object) -> tuple[int, str, str]:
        return cli(capsys, monkeypatch, *words)

    return call


@pytest.fixture(name="command")
def _command():
    return command
