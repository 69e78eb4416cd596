"""Which methods are measured, at which layers, with which options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.engine.together import StepOf
from interpretkit.errors import Faults, InterpretkitError, RecipeError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from interpretkit.contracts.registry import Registered, Registry
    from interpretkit.contracts.visualizer import Visualizer

CONTROLS = ("random_map", "edge_map", "centre_map")
"""Maps that know nothing of the network."""

INPUT = "input"

_LAYERS = ("stage3", "stage4")
"""Where methods look that are asked about layers: 8×8 and 4×4 cells of 128×128 pixels."""

_FEWER: Mapping[str, Mapping[str, Any]] = {
    "integrated_gradients": {"steps": 16},
    "internal_influence": {"steps": 16},
    "kernel_shap": {"samples": 100},
    "layer_conductance": {"steps": 16},
    "layer_integrated_gradients": {"steps": 16},
    "lime": {"samples": 100},
    "shapley_value_sampling": {"samples": 8},
}
"""Fewer passes than by default, where these would take most of the time."""


FORMS = ("deploy", "train")
"""Forms of the network, which are the same function; the first takes a third of the time."""

_TRAIN = ("repvgg_branches",)
"""Methods that there are in the second form only."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A method at a layer.

    Attributes:
        method: Its id.
        layer: The layer that it is asked about; `input` where it is asked about none.
        options: What it is given.
    """

    method: str
    layer: str
    options: Mapping[str, Any]

    @property
    def form(self) -> str:
        """Which form of the network it is measured on."""
        return FORMS[self.method in _TRAIN]

    @property
    def step(self) -> StepOf:
        """The step that computes its maps."""
        return StepOf(visualizer=self.method, options=self.options)


def entries(registry: Registry, methods: Sequence[str]) -> list[Entry]:
    """Return the methods of these ids, each at the layers that fit it; without any, all that there are.

    Raises:
        RecipeError: If there is no such method.
        PluginError: If two plugins claim it, or one that could have it is broken.
    """
    there = {name: found for name, found in registry.of(VISUALIZER).items() if _explains(found.offer)}
    faults = Faults()
    for name in methods:
        with faults.collect():
            _check(name, registry, there)
    faults.tell()
    chosen = dict.fromkeys(methods) or [name for name in there if name not in CONTROLS]
    return [entry for name in chosen for entry in _at_layers(name, there[name])]


def controls(registry: Registry) -> list[Entry]:
    """Return the controls."""
    return [entry for name in CONTROLS for entry in _at_layers(name, registry.find(VISUALIZER, name))]


def _explains(offer: type[Visualizer]) -> bool:
    """Return whether a visualizer makes attribution maps of each image, from the network alone."""
    alone = offer.reads is None or offer.reads.least == 0
    return offer.yields == "attribution" and alone and not offer.per_set


def _check(name: str, registry: Registry, there: Mapping[str, object]) -> None:
    """Check that an id is that of a method which can be measured."""
    try:
        registry.find(VISUALIZER, name)
    except RecipeError as error:
        raise error.advised(did_you_mean(name, there, otherwise=error.hint)) from error
    if name not in there:
        what = f"visualizer {name!r} makes no attribution maps of the network alone"
        raise RecipeError(what, hint="`interpretkit show NAME` says what each yields and reads")


def _at_layers(name: str, found: Registered[Visualizer]) -> Iterator[Entry]:
    """Yield a method at each layer that fits it."""
    try:
        fields = found.options().model_fields
    except InterpretkitError:
        # Its row will say why.
        fields = {}
    options = dict(_FEWER.get(name, {}))
    if "target" in fields:
        options["target"] = "label"
    if "layers" in fields:
        for layer in _LAYERS:
            yield Entry(name, layer, {**options, "layers": [layer]})
    elif "layer" in fields:
        for layer in _LAYERS:
            yield Entry(name, layer, {**options, "layer": layer})
    else:
        yield Entry(name, INPUT, options)
