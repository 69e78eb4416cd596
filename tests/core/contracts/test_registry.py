from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interpretkit.contracts.builder import ModelBuilder
from interpretkit.contracts.hooks import hookimpl
from interpretkit.contracts.kinds import MODEL, VISUALIZER
from interpretkit.contracts.registry import Plugin, Registry, discover
from interpretkit.contracts.visualizer import Visualizer
from interpretkit.errors import PluginError, RecipeError
from interpretkit.results.result import Result


class Energy(Visualizer):
    """Energy of a layer."""

    name = "energy"

    def compute(self, captured):
        return Result()


class Offering:
    """A plugin's module, as pluggy sees it."""

    def __init__(self, *offers: object) -> None:
        self.offers = offers

    @hookimpl
    def interpretkit_visualizers(self):
        yield from self.offers


class Misspelt:
    @hookimpl
    def interpretkit_visualisers(self):
        yield Energy


class Unmarked:
    @hookimpl
    def interpretkit_models(self):
        yield from ()

    def interpretkit_visualizers(self):
        yield Energy


class Nothing:
    def visualizers(self):
        yield Energy


def source(name: str, module: object):
    def load():
        if isinstance(module, BaseException):
            raise module
        return module

    return Plugin(name, f"dist-{name}", "1.0"), load


def test_what_a_plugin_offers_is_found_with_its_plugin():
    found = Registry([source("one", Offering(Energy))]).find(VISUALIZER, "energy")
    assert found.offer is Energy
    assert str(found.plugin) == "dist-one 1.0"


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        (ImportError("no module named x"), "ImportError: no module named x"),
        (SyntaxError("bad"), "SyntaxError: bad"),
        (SystemExit(3), "SystemExit: 3"),
        (Misspelt(), "PluginValidationError"),
        (Misspelt(), "no hook 'interpretkit_visualisers' (did you mean 'interpretkit_visualizers'"),
        (Unmarked(), "interpretkit_visualizers() is not marked (put @hookimpl above it)"),
        (Nothing(), "it offers nothing (write one of its hooks, such as interpretkit_visualizers()"),
        (Offering("not a class"), "TypeError: 'not a class' is not a class derived from Visualizer"),
        (Offering(type("Bad", (Energy,), {"name": "os.system"})), "TypeError: Bad.name is 'os.system'"),
        (Offering(type("Bad", (Visualizer,), {"name": "bad"})), "TypeError: Bad does not define compute"),
        (Offering(type("Bad", (Energy,), {"Options": dict})), "TypeError: Bad.Options is not derived"),
    ],
)
def test_a_broken_plugin_is_remembered_with_its_cause_and_hurts_nobody_else(module, cause):
    registry = Registry([source("broken", module), source("one", Offering(Energy))])
    assert registry.find(VISUALIZER, "energy").offer is Energy
    assert cause in registry.plugins[0].error
    with pytest.raises(PluginError, match=r"these failed to load: dist-broken 1\.0"):
        registry.find(VISUALIZER, "something_else")


def test_an_id_claimed_twice_names_both_distributions():
    registry = Registry([source("one", Offering(Energy)), source("two", Offering(Energy))])
    with pytest.raises(PluginError, match=r"claimed by dist-one 1\.0 and dist-two 1\.0"):
        registry.find(VISUALIZER, "energy")


def test_options_that_cannot_check_anything_break_what_they_belong_to_and_nothing_else():
    class Unfit:
        pass

    class Broken(Energy):
        name = "broken"

        class Options(Energy.Options):
            thing: Unfit

    Broken.Options.__annotations__["thing"] = Unfit
    registry = Registry([source("one", Offering(Energy, Broken))])
    assert registry.find(VISUALIZER, "energy").options().model_validate({}) == Energy.Options()
    with pytest.raises(PluginError, match=r"^dist-one 1\.0: the options of 'broken' failed: Pydantic"):
        registry.find(VISUALIZER, "broken").options()


def test_an_unknown_id_names_the_nearest():
    registry = Registry([source("one", Offering(Energy))])
    with pytest.raises(RecipeError, match="did you mean 'energy'"):
        registry.find(VISUALIZER, "enrgy")
    with pytest.raises(RecipeError, match="interpretkit plugins"):
        registry.find(VISUALIZER, "zzz")


def test_the_built_in_plugins_come_through_the_entry_points():
    registry = discover()
    assert not [plugin for plugin in registry.plugins if plugin.error]
    assert {"feature_grid", "grad_cam", "channel_stats", "compare"} <= registry.of(VISUALIZER).keys()
    assert registry.find(MODEL, "repvgg").plugin.distribution == "interpretkit"


def test_a_file_given_by_hand_is_a_plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from interpretkit import Result, Visualizer, hookimpl\n"
        "print('noise')\n"
        "class Mine(Visualizer):\n"
        "    name = 'mine'\n"
        "    def compute(self, captured):\n"
        "        return Result()\n"
        "@hookimpl\n"
        "def interpretkit_visualizers():\n"
        "    yield Mine\n"
    )
    code = (
        "import sys; from pathlib import Path; from interpretkit.contracts.kinds import VISUALIZER\n"
        "from interpretkit.contracts.registry import discover\n"
        "print(discover([Path(sys.argv[1])]).find(VISUALIZER, 'mine').plugin)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(file)
    assert "noise" in done.stderr


@pytest.mark.parametrize(("text", "cause"), [(None, "no such file"), ("def", "SyntaxError"), ("1/0", "ZeroDivision")])
def test_a_file_given_by_hand_must_load(tmp_path, text, cause):
    file = tmp_path / "broken.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PluginError, match=cause):
        discover([Path(file)])


def test_model_builders_are_checked_like_visualizers():
    class Builder(ModelBuilder):
        name = "UPPER"

        def build(self, state):
            raise NotImplementedError

    class Module:
        @hookimpl
        def interpretkit_models(self):
            yield Builder

    assert "an id has lower-case letters" in Registry([source("m", Module())]).plugins[0].error


def test_what_a_plugin_changes_while_it_loads_is_put_back(tmp_path):
    file = tmp_path / "meddler.py"
    file.write_text(
        "import logging, os, tempfile, torch\n"
        "os.chdir(tempfile.gettempdir())\n"
        "logging.basicConfig(level=0)\n"
        "torch.set_default_dtype(torch.float64)\n"
        "from interpretkit import hookimpl\n"
        "@hookimpl\n"
        "def interpretkit_visualizers():\n"
        "    yield from ()\n"
    )
    code = (
        "import logging, os, sys; from pathlib import Path; from interpretkit.contracts.registry import discover\n"
        "before = os.getcwd(), list(logging.root.handlers)\n"
        "discover([Path(sys.argv[1]), Path(sys.argv[1])])\n"
        "import torch\n"
        "print((os.getcwd(), list(logging.root.handlers)) == before, torch.get_default_dtype())"
    )
    line = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "torch.float32"]
