"""A vector for each image: the class token of a transformer, or an embedding."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from interpretkit import words
from interpretkit.errors import InputError, StepError
from interpretkit.model.outputs.columns import DIGITS_LOST, Grammar, Numbers, Ranked
from interpretkit.model.outputs.names import PREDICTED
from interpretkit.model.outputs.output import Output, for_each
from interpretkit.model.outputs.parts import check_floats, described
from interpretkit.results.axes import CHANNEL, IMAGE, TOKEN
from interpretkit.results.targets import Target

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import torch

    from interpretkit.results.image import InputImage


_MOST_OFF = 1e-3
"""In half precision too: the roundings of many numbers cancel each other in a sum."""


def _finite(given: Any) -> Any:
    """Refuse a vector of other than finite numbers."""
    if not isinstance(given, str) and not all(map(math.isfinite, given)):
        raise ValueError("a vector to compare with is finite")
    return given


def _path(given: Any) -> Any:
    """Return a path as text; refuse an image itself, which cannot be written down as a target."""
    if hasattr(given, "getpixel"):
        raise ValueError("an image is no data that a target can hold: give its path, or its vector")
    return str(given) if isinstance(given, PurePath) else given


class Like(Grammar):
    """A target that asks how similar an image's vector is to another: the cosine of both.

    Example:
        >>> str(Like.model_validate({"like": "other.png"}))
        'like other.png'
    """

    like: Annotated[str | Numbers, BeforeValidator(_path), AfterValidator(_finite)] = Field(
        description="an image whose vector it is compared with, a .npy file with a vector, or the vector itself"
    )

    def __str__(self) -> str:
        return f"like {self.like}" if isinstance(self.like, str) else f"like a vector of {len(self.like)}"


@dataclass(frozen=True, slots=True)
class Compared:
    """The same with the vector itself, once it has been read.

    Attributes:
        like: What was asked for.
        vector: The numbers.
    """

    like: Like
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector(Output):
    """A vector for each image, such as an embedding.

    Its targets are its length (the default), and `{like: …}`: the cosine similarity to the vector of another image, or
    to a vector that is given.

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

    @property
    def words(self) -> str:
        """What it is, by its name."""
        return self.name

    def single(self, spec: Any) -> tuple[Hashable, ...]:
        """Return the target; its length has no name of its own."""
        if isinstance(spec, Like) and not isinstance(spec.like, str):
            return (Compared(spec, spec.like),)
        return (None,) if spec == PREDICTED else (spec,)

    def check(self, spec: Hashable) -> None:
        """Check that it is the length, or a similarity."""
        length = spec is None or spec == Ranked(1)
        if not length and not isinstance(spec, Like | Compared):
            hint = "leave the target out for its length, or ask {like: IMAGE}"
            raise InputError(f"a {self.name} has no target {spec}", hint=hint, subject=spec)

    def targets(self, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
        """Return the length of the vector of each image, or its similarity to another."""
        vectors = self.vectors(values)
        if isinstance(spec, Compared):
            return self._alike(spec, vectors)
        norms = vectors.detach().double().norm(dim=1).tolist()[: len(images)]
        # What normalised vectors have for every image: by their length, or by their variance, as layer norms do.
        fixed = (1.0, math.sqrt(vectors.shape[1]))
        found = []
        for norm in norms:
            saturated = any(abs(norm - each) <= _rounding(vectors) * each for each in fixed)
            found.append(Target(spec="", label=self.name, score=norm, quantity="norm", saturated=saturated))
        return tuple(found)

    def _alike(self, spec: Compared, vectors: torch.Tensor) -> tuple[Target, ...]:
        given, like = spec.vector, spec.like.like
        if len(given) != vectors.shape[1]:
            what = f"the {self.name} has {vectors.shape[1]} numbers, and the one it is compared with {len(given)}"
            raise InputError(what, hint="give a vector of the same network")
        if not any(given):
            raise InputError("a vector of zeros has no direction, so nothing is similar to it")
        found = Target(
            spec={"like": like if isinstance(like, str) else list(like)},
            label=f"{self.name} {spec.like}",
            score=0.0,
            quantity="cosine",
            vector=given,
        )
        scores = _cosines(vectors.detach().double(), [given] * len(vectors)).tolist()
        most = 1 - _rounding(vectors)
        return tuple(replace(found, score=score, saturated=abs(score) >= most) for score in scores)

    def score(self, values: Any, targets: Sequence[Target]) -> torch.Tensor:
        """Return the length of the vector of each image, or its cosine with another, `(image,)`."""
        import torch

        vectors = self.vectors(values)
        others = [target.vector for target in for_each(targets, len(vectors))]
        if not any(others):
            norms: torch.Tensor = vectors.norm(dim=1)
            return norms
        if all(others):
            return _cosines(vectors, others)
        each = zip(torch.split(vectors, 1), others, strict=True)
        return torch.cat([_cosines(vector, [other]) if other else vector.norm(dim=1) for vector, other in each])

    def gives(self, values: torch.Tensor, target: Target, *, tolerance: float) -> bool:
        """Return whether the values of one image have the score of a target; a cosine is 1 at most."""
        if not target.vector:
            return Output.gives(self, values, target, tolerance=tolerance)
        return abs(float(self.score(values, [target])[0]) - target.score) <= tolerance

    def vectors(self, values: Any) -> torch.Tensor:
        """Return what was read as vectors `(image, channel)`.

        Raises:
            StepError: If it is none.
        """
        import torch

        axes = (IMAGE, CHANNEL) if self.token is None else (IMAGE, TOKEN, CHANNEL)
        if self.token is None and isinstance(values, torch.Tensor) and values.ndim > len(axes):
            # An embedding that a pooling left with dims of length 1.
            values = values.flatten(1) if values.shape[2:].numel() == 1 else values
        if not isinstance(values, torch.Tensor) or values.ndim != len(axes):
            where = f"layer {self.layer}" if self.layer else "the network"
            returned = words.shape(values.shape) if isinstance(values, torch.Tensor) else described(values)
            noun = "a vector" if self.token is None else "tokens"
            raise StepError(f"{where} returns {returned}, not {noun} ({', '.join(axes)})")
        check_floats(values, wanted=f"a vector ({', '.join(axes)})", instead="let it return what these are made of")
        return values if self.token is None else values[:, self.token]


def _rounding(vectors: torch.Tensor) -> float:
    """Return how far a norm or a cosine may be off, as a part of it."""
    import torch

    return min(DIGITS_LOST * torch.finfo(vectors.dtype).eps, _MOST_OFF)


def _cosines(vectors: torch.Tensor, others: Sequence[tuple[float, ...]]) -> torch.Tensor:
    """Return the cosine of each of `vectors` `(image, channel)` with another, `(image,)`."""
    directions = vectors.new_tensor(others)
    directions = directions / directions.norm(dim=1, keepdim=True)
    cosines: torch.Tensor = (vectors * directions).sum(1) / vectors.norm(dim=1)
    return cosines
