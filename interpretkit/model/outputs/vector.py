"""A vector for each image: the class token of a transformer, or an embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpretkit import words
from interpretkit.errors import StepError
from interpretkit.model.outputs.output import Output
from interpretkit.results.axes import CHANNEL, IMAGE, TOKEN
from interpretkit.results.targets import Target

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    from interpretkit.results.image import InputImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector(Output):
    """A vector for each image, whose one target is its length.

    Attributes:
        name: What it is called in words.
        token: Which token it is, of a layer that returns `(image, token, channel)`; None where there are no tokens, and
            the vector is all of `(image, channel)`.

    Example:
        >>> import torch
        >>> Vector().score(torch.tensor([[3.0, 4.0]]), []).tolist()
        [5.0]
    """

    name: str = "vector"
    token: int | None = None

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:  # noqa: ARG002
        """Return the length of the vector of each image."""
        norms = self.score(values, ()).detach().double().tolist()
        return tuple(Target(spec="", label=self.name, score=norm, quantity="norm") for norm in norms)

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:  # noqa: ARG002 - there is one target
        """Return the length of the vector of each image, `(image,)`."""
        axes = (IMAGE, CHANNEL) if self.token is None else (IMAGE, TOKEN, CHANNEL)
        shape = getattr(values, "shape", ())
        if len(shape) != len(axes):
            where = f"layer {self.layer}" if self.layer else "the network"
            returned = words.shape(shape) if len(shape) else f"a {type(values).__name__}"
            noun = "a vector" if self.token is None else "tokens"
            wanted = f"{noun} ({', '.join(axes)})"
            raise StepError(f"{where} returns {returned}, not {wanted}")
        vectors = values if self.token is None else values[:, self.token]
        norms: torch.Tensor = vectors.norm(dim=1)
        return norms
