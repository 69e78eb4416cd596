"""What a visualizer asks of the one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.model.outputs.grammar import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a visualizer asks of the one pass.

    Attributes:
        activations: Patterns of layers whose outputs it reads.
        gradients: Patterns of layers for whose outputs it reads the gradient of the score, and their outputs.
        input_gradient: Whether it reads the gradient of the score for the model's input, `Captured.input_gradient`.
        target: What the score is; required with `gradients` and `input_gradient`.
        own_passes: Whether it runs the model itself; it then gets `Captured.model` and `Captured.repeat`.
        parameters: Whether it reads the model's parameters; it then gets `Captured.model` too, and makes no pass.
    """

    activations: Sequence[str] = ()
    gradients: Sequence[str] = ()
    input_gradient: bool = False
    target: TargetSpec | None = None
    own_passes: bool = False
    parameters: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.activations, str) or isinstance(self.gradients, str):
            raise TypeError("Needs: layers are a list of patterns, not one text")
        if self.wants_gradients and self.target is None:
            raise ValueError("Needs: gradients are gradients of a target's score; give the target")

    @property
    def wants_model(self) -> bool:
        """Whether it gets the model."""
        return self.own_passes or self.parameters

    @property
    def wants_gradients(self) -> bool:
        """Whether a backward pass is needed."""
        return bool(self.gradients) or self.input_gradient
