"""What every builder of models should pass."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interpretkit.contracts.builder import ModelBuilder
from interpretkit.contracts.kinds import MODEL, Kind
from interpretkit.digests import state_digest
from interpretkit.errors import StepError, WeightsError, cause
from interpretkit.model.weights.load import blank, load
from interpretkit.results.image import InputImage
from interpretkit.testing.named import Subject, require

if TYPE_CHECKING:
    from interpretkit.model.model import Model
    from interpretkit.model.outputs.output import Output

_SIDE = 96


class ModelSubject(Subject[ModelBuilder]):
    """A builder about to be checked."""

    kind: ClassVar[Kind[Any]] = MODEL
    names = (
        *Subject.names,
        "builds",
        "builds_on_meta",
        "same_seed",
        "state_round_trip",
        "unfit_state",
        "aliases",
        "layers",
        "outputs",
    )

    def builds(self) -> None:
        """It returns a Model with random weights that are finite."""
        require(bool(self._model.name), "the model has no name")

    def builds_on_meta(self) -> None:
        """It builds the same layers without memory for weights."""
        shapes = {name: tuple(each.shape) for name, each in self._model.module.state_dict().items()}
        on_meta = {name: tuple(each.shape) for name, each in blank(self.made).module.state_dict().items()}
        require(on_meta == shapes, "on the meta device it has other weights")

    def same_seed(self) -> None:
        """From the same seed it has the same weights."""
        again = self._built()
        require(_digest(again) == _digest(self._model), "built twice from one seed, the weights differ")

    def state_round_trip(self) -> None:
        """Built from its own weights, it has them."""
        import torch

        with torch.random.fork_rng(devices=[]):
            again = self.made.build(self._model.module.state_dict())
        require(_digest(again) == _digest(self._model), "built from its own weights, it has others")

    def unfit_state(self) -> None:
        """Weights that do not fit are refused."""
        state = self._model.module.state_dict()
        if not state:
            return
        try:
            self.made.build({"unfit": next(iter(state.values()))})
        except WeightsError:
            return
        except Exception as error:
            raise AssertionError(f"weights that do not fit raise {cause(error)}; `load_state` says it well") from error
        raise AssertionError("weights that do not fit are not refused; `load_state` does that")

    def aliases(self) -> None:
        """Every alias finds a layer."""
        for alias in self._model.aliases:
            require(len(self._model.find([alias])) == 1, f"alias {alias!r} is no layer")

    def layers(self) -> None:
        """Its layers can be listed, and found by their names."""
        names = [row.name for row in self._model.layers()]
        require(bool(names), "no layers are called in a forward pass")
        self._model.find(names)

    def outputs(self) -> None:
        """What the network returns for an image is what its outputs read; each has a finite score for it."""
        returned, image = self._pass
        for name, output in self._model.outputs.items():
            if not output.layer:
                _check_output(name, output, output.read(returned), image)

    @cached_property
    def _model(self) -> Model:
        return self._built()

    def _built(self) -> Model:
        return load(self.made, "random", seed=0, device="cpu", dtype="float32")

    @cached_property
    def _pass(self) -> tuple[Any, InputImage]:
        """What the network returns for one image."""
        import torch
        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
        image = InputImage(id="noise", source="noise", sha256="", size=(_SIDE, _SIDE), pixels=pixels)
        with torch.no_grad():
            fed = self._model.preprocessing(Image.fromarray(pixels))
            return self._model.module(fed[None]), image


def _digest(model: Model) -> str:
    return state_digest(model.module.state_dict())


def _check_output(name: str, output: Output, values: Any, image: InputImage) -> None:
    try:
        output.summary(values)
    except StepError as error:
        raise AssertionError(f"output {name!r}: {error}") from error
    for spec in output.single(None):
        targets = output.targets(spec, values, (image,))
        score = output.score(values, targets)
        require(tuple(score.shape) == (1,), f"output {name!r} has scores of shape {tuple(score.shape)} for one image")
        require(bool(score.isfinite().all()), f"output {name!r} has a score that is not finite")
