"""Look into vision networks: one recipe, one pass, honest pictures, runs that can be verified.

    import interpretkit as ik
    run = ik.run("recipes/repvgg_b0.yaml")

Everything that is public stands here. Importing this package loads neither torch nor matplotlib: names are resolved
when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interpretkit.api import draw, load_model, open_run, run, visualize, wrap
    from interpretkit.baselines import Baseline
    from interpretkit.citations import Citation
    from interpretkit.contracts import Captured, ModelBuilder, Needs, Options, Published, Reduction, Visualizer
    from interpretkit.conversion import convert
    from interpretkit.errors import (
        CheckError,
        InputError,
        InterpretkitError,
        PluginError,
        RecipeError,
        StepError,
        StorageError,
        WeightsError,
        did_you_mean,
    )
    from interpretkit.hookspecs import hookimpl
    from interpretkit.layout import Layout
    from interpretkit.model import Model
    from interpretkit.preprocessing import Preprocessing
    from interpretkit.results import Figure, InputImage, Map, Result, Table
    from interpretkit.rundir import Run
    from interpretkit.targets import Contrast, Target, TargetSpec, Top
    from interpretkit.weights import load_state

__version__ = "0.1.0"

_HOMES = {
    "api": ("draw", "load_model", "open_run", "run", "visualize", "wrap"),
    "baselines": ("Baseline",),
    "citations": ("Citation",),
    "contracts": ("Captured", "ModelBuilder", "Needs", "Options", "Published", "Reduction", "Visualizer"),
    "conversion": ("convert",),
    "errors": (
        "CheckError", "InputError", "InterpretkitError", "PluginError", "RecipeError", "StepError", "StorageError",
        "WeightsError", "did_you_mean",
    ),
    "hookspecs": ("hookimpl",),
    "layout": ("Layout",),
    "model": ("Model",),
    "preprocessing": ("Preprocessing",),
    "results": ("Figure", "InputImage", "Map", "Result", "Table"),
    "rundir": ("Run",),
    "targets": ("Contrast", "Target", "TargetSpec", "Top"),
    "weights": ("load_state",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Baseline",
    "Captured",
    "CheckError",
    "Citation",
    "Contrast",
    "Figure",
    "InputError",
    "InputImage",
    "InterpretkitError",
    "Layout",
    "Map",
    "Model",
    "ModelBuilder",
    "Needs",
    "Options",
    "PluginError",
    "Preprocessing",
    "Published",
    "RecipeError",
    "Reduction",
    "Result",
    "Run",
    "StepError",
    "StorageError",
    "Table",
    "Target",
    "TargetSpec",
    "Top",
    "Visualizer",
    "WeightsError",
    "__version__",
    "convert",
    "did_you_mean",
    "draw",
    "hookimpl",
    "load_model",
    "load_state",
    "open_run",
    "run",
    "visualize",
    "wrap",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'interpretkit' has no attribute {name!r}")
    return getattr(import_module(f"interpretkit.{home}"), name)


def __dir__() -> list[str]:
    return __all__
