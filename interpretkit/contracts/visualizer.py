"""What one step does: the base of every visualizer, and of those whose result is about a whole set of images."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from interpretkit.contracts.needs import Needs
from interpretkit.contracts.offer import Offer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit.contracts.captured import Captured
    from interpretkit.contracts.reads import Reads, Yield
    from interpretkit.model.model import Model
    from interpretkit.results.figure import Figure
    from interpretkit.results.map import Polarity
    from interpretkit.results.result import Result


class Visualizer(Offer):
    """What one step does. Derive from it, give it a `name`, nested `Options`, `needs`, `compute` and `draw`.

    The result is per image: results are written image by image, and `draw` gets those of one image.

    Example:
        >>> from interpretkit import Layered
        >>> class ChannelMean(Visualizer):
        ...     '''Mean of a layer over its channels.'''
        ...     name = "channel_mean"
        ...     yields = "attribution"
        ...     class Options(Layered):
        ...         pass
        ...     options: Options
        ...     def needs(self):
        ...         return Needs(activations=self.options.layers)
        ...     def compute(self, captured):
        ...         return Result(maps={
        ...             layer: captured.map(layer, values.mean(1), polarity="signed")
        ...             for layer, values in captured.activations.items()
        ...         })
        >>> ChannelMean(ChannelMean.Options(layers=["stage1"])).needs().activations
        ['stage1']
    """

    requires: ClassVar[str] = ""
    """What it asks of the network or of the recipe beyond its options, in words."""

    cost: ClassVar[str] = "nothing beyond the shared forward pass"
    """What it costs in passes, in words; of own passes for each image, in terms of its options."""

    polarity: ClassVar[Polarity | None] = None
    """The polarity of its maps, if all have one."""

    deterministic: ClassVar[bool] = True
    """Whether its numbers are the same at every run; a method with random numbers of a fixed seed is."""

    yields: ClassVar[Yield | None] = None
    """What it makes, so that others can read it; None if nobody does."""

    reads: ClassVar[Reads | None] = None
    """Which earlier steps it reads; None if it reads none."""

    per_set: ClassVar[bool] = False
    """Whether its result is about the whole set of images, as that of a `Reduction` is."""

    def needs(self) -> Needs:
        """Say what to capture. Pure: nothing is run."""
        return Needs()

    def needs_of(self, model: Model) -> Needs:  # noqa: ARG002 - most visualizers need not look at the model
        """Say what to capture of this model; by default what `needs` says. For those that depend on its layers."""
        return self.needs()

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
