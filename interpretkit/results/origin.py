"""Where results come from: the step, the model and its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from interpretkit.words import count, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

UNTRAINED = "RANDOM WEIGHTS: nothing here was learned."
"""What every picture says before anything else where the model's weights are random."""

_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """Where a model's weights come from.

    Attributes:
        kind: `random`, `builtin` (they come with the builder), `path`, `hub`, `package`, `published`, or `given` (the
            module was handed over with its weights).
        source: The file, the repository with its revision, or the published name with its address; for random weights
            used as a fallback, the source that they stand in for.
        sha256: Hash of the file; empty where there is none.
        fallback: Why random weights were used although the recipe asks for others; empty where it got what it asks.
        key: Which of several sets of weights in the file.
        prefix: What was taken off the names of the tensors.
        missing: The tensors of the network that the file does not have: they are random.
        left_out: The tensors of the file that the network does not have.
    """

    kind: Literal["random", "builtin", "path", "hub", "package", "published", "given"] = "given"
    source: str = ""
    sha256: str = ""
    fallback: str = ""
    key: str = ""
    prefix: str = ""
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def alert(self) -> str:
        """What every picture must say before anything else; empty if there is nothing."""
        if not self.missing:
            return ""
        amount = count(len(self.missing), "tensor")
        return f"PARTLY RANDOM WEIGHTS: {amount} not in the file ({listed(self.missing, most=_EXAMPLES)})."

    def __str__(self) -> str:
        if self.kind == "random":
            return f"random weights in place of {self.source}" if self.fallback else "random weights"
        source = self.source or "weights as given"
        key = f"[{self.key}]" if self.key else ""
        without = f" without {listed(self.left_out, most=_EXAMPLES)}" if self.left_out else ""
        random = f" with {count(len(self.missing), 'random tensor')}" if self.missing else ""
        return f"{source}{key}{random}{without}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The step and the model that made a result: what its figures have to say.

    Attributes:
        step: The id of the step.
        uses: The id of its visualizer.
        plugin: Where the visualizer comes from, in words.
        options: Its options, as a recipe writes them.
        model: The name of the model.
        weights: Where the model's weights come from, in words.
        alert: What every picture of the model must say before anything else; empty if there is nothing.
        shown: Which channels of the model's input its pictures show, in words; empty where all.
        visualizer: The visualizer itself, in the process that computed the result; None for a stored one.
    """

    step: str
    uses: str
    plugin: str
    options: Mapping[str, Any]
    model: str
    weights: str
    alert: str = ""
    shown: str = ""
    visualizer: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"step {self.step!r} ({self.uses}, {self.plugin})"
