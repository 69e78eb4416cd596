"""Models that somebody hands over in Python, in the place of those that a recipe would build."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interpretkit.contracts.builder import ModelBuilder
from interpretkit.contracts.kinds import MODEL
from interpretkit.contracts.registry import Plugin

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from interpretkit.contracts.registry import Registry
    from interpretkit.engine.resolve import Resolved
    from interpretkit.model.model import Model

PLUGIN = Plugin("given in Python")


class GivenModel(ModelBuilder):
    """A model that was handed over in Python: a run of it is repeated by handing it over again."""

    name = "given"

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Never called: the model is there."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class GivenModels:
    """Live models by the key that they have in a recipe."""

    models: Mapping[str, Model] = field(default_factory=dict)

    def entries(self) -> dict[str, dict[str, str]] | None:
        """Return what stands in a recipe in place of its own models; None if they stay."""
        return {key: {"uses": GivenModel.name} for key in self.models} or None

    def offered_by(self, registry: Registry) -> Registry:
        """Return the registry with these models among the offers."""
        if self.models:
            registry.add(MODEL, GivenModel, PLUGIN)
        return registry

    def put_into(self, resolved: Resolved) -> Resolved:
        """Return a resolved recipe that has these models."""
        models = {}
        for key, model in resolved.models.items():
            models[key] = replace(model, given=self.models.get(key))
        return replace(resolved, models=models)
