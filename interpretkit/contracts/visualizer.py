"""What one step does: the base of every visualizer, and of those whose result is about a whole set of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from interpretkit.contracts import offer
from interpretkit.contracts.needs import Needs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit.contracts.captured import Captured
    from interpretkit.contracts.citations import Citation
    from interpretkit.model.model import Model
    from interpretkit.results.figure import Figure
    from interpretkit.results.map import Polarity
    from interpretkit.results.result import Result


class Visualizer(ABC):
    """What one step does. Derive from it, give it a `name`, nested `Options`, `needs`, `compute` and `draw`.

    The result is per image: results are written image by image, and `draw` gets those of one image.

    Example:
        >>> class ChannelMean(Visualizer):
        ...     '''Mean of a layer over its channels.'''
        ...     name = "channel_mean"
        ...     class Options(Visualizer.Options):
        ...         layers: list[str]
        ...         '''Layers to look at.'''
        ...     options: Options
        ...     def needs(self, model):
        ...         return Needs(activations=self.options.layers)
        ...     def compute(self, captured):
        ...         return Result(maps={
        ...             layer: captured.map(layer, values.mean(1), polarity="signed")
        ...             for layer, values in captured.activations.items()
        ...         })
        >>> ChannelMean(ChannelMean.Options(layers=["stage1"])).needs(None).activations
        ['stage1']
    """

    name: ClassVar[str]
    """Its id in recipes: lower-case letters, digits, `_`."""

    citations: ClassVar[tuple[Citation, ...]] = ()
    """The papers that it implements."""

    requires: ClassVar[str] = ""
    """What it asks of the network or of the recipe beyond its options, in words."""

    cost: ClassVar[str] = "nothing beyond the shared forward pass"
    """What it costs in passes, in words; of own passes for each image, in terms of its options."""

    polarity: ClassVar[Polarity | None] = None
    """The polarity of its maps, if all have one."""

    deterministic: ClassVar[bool] = True
    """Whether its numbers are the same at every run; a method with random numbers of a fixed seed is."""

    reads: ClassVar[int] = 0
    """How many earlier steps it reads at least; 0 if it reads none."""

    per_set: ClassVar[bool] = False
    """Whether its result is about the whole set of images, not about each; a `Reduction` is what can be."""

    may_read: ClassVar[bool] = False
    """Whether it can read earlier steps although it needs none."""

    class Options(offer.Options):
        """No options."""

    def __init__(self, options: offer.Options) -> None:
        self.options = options

    def needs(self, model: Model) -> Needs:  # noqa: ARG002 - most visualizers need not look at the model
        """Say what to capture. Pure: nothing is run."""
        return Needs()

    @abstractmethod
    def compute(self, captured: Captured) -> Result:
        """Turn what was captured for a batch into arrays and tables. Pure: no files, no drawing."""

    def draw(self, result: Result) -> Iterable[Figure]:  # noqa: ARG002 - a step may have no figures
        """Draw the result of one image (of the whole set in a `Reduction`). Pure, and without torch."""
        return ()


class Reduction(Visualizer):
    """A visualizer whose result is about the whole set of images; small, and merged batch by batch."""

    per_set = True

    @abstractmethod
    def merge(self, first: Result, second: Result) -> Result:
        """Return the result of two parts of the set together. Associative: any grouping gives the same result."""

    def finish(self, result: Result) -> Result:
        """Return what is stored and drawn, of the merged result of all images; by default that itself.

        For reductions that merge more than anybody wants to keep: sums from which the numbers follow at the end.

        Raises:
            StepError: If nothing follows from so few images.
        """
        return result
