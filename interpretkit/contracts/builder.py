"""What builds a model that recipes can name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from interpretkit.contracts.offer import Offer
from interpretkit.errors import RecipeError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from interpretkit.model.model import Model
    from interpretkit.model.weights.published import Published


class ModelBuilder(Offer):
    """A kind of model that recipes can name. Derive from it, give it a `name`, nested `Options` and `build`."""

    @abstractmethod
    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model and load `state` into it; without one its weights stay as initialised.

        It may be called under `torch.device("meta")`, to list layers without computing anything.

        Raises:
            WeightsError: If `state` does not fit; `load_state` says what is missing, extra or of another shape.
        """

    def published(self, name: str) -> Published:
        """Return which file the published weights `name` are; `DEFAULT` are the best.

        Only builders of networks whose authors publish weights define it. Nothing is fetched.

        Raises:
            RecipeError: If there are no such weights.
        """
        raise RecipeError(f"model {self.name!r} has no published weights {name!r}", hint="give `path:` or `hub:`")

    def builtin(self) -> Path:
        """Return the file of weights that comes with the builder, for `weights: builtin`.

        Only builders of networks that are trained and small define it.

        Raises:
            RecipeError: If there is none.
        """
        what = f"model {self.name!r} comes without weights"
        raise RecipeError(what, hint="give `path:` or `hub:`", subject="builtin")

    def convert(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:  # noqa: ARG002 - most have one form
        """Return the weights in the form meant for deployment: another layout of the same function.

        Only builders of networks that have such a form define it. What the options do not say, `state` does.

        Raises:
            WeightsError: If `state` does not fit, or there is no such form.
        """
        raise WeightsError(f"model {self.name!r} has no other form for deployment")
