"""The checks of whatever a plugin offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit.errors import did_you_mean
from interpretkit.testing.models import ModelSubject
from interpretkit.testing.others import CheckSubject, ExecutorSubject, ExporterSubject, ReaderSubject
from interpretkit.testing.visualizers import VisualizerSubject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpretkit.contracts.builder import ModelBuilder
    from interpretkit.contracts.offer import Offer
    from interpretkit.contracts.visualizer import Visualizer
    from interpretkit.model.model import Model
    from interpretkit.results.result import Result
    from interpretkit.testing.named import NamedCheck

_SUBJECTS: tuple[Any, ...] = (
    VisualizerSubject,
    ModelSubject,
    CheckSubject,
    ReaderSubject,
    ExporterSubject,
    ExecutorSubject,
)


def checks_of(offer: type[Offer], /, *, known: Mapping[str, str] | None = None, **given: Any) -> list[NamedCheck]:
    """Return the checks that something should pass which a plugin offers, each of one thing, to parametrize over.

    Of everything: it can be registered, its options are described, its citations have entries, and no other plugin
    that is installed has its id. What else there is, `str` of the checks says.

    Args:
        offer: The class: a visualizer, model builder, check, reader, exporter or executor.
        known: Checks that are known to fail, with the reason; they become expected failures.
        **given: Its options, and what it is tried on. For a visualizer `model`, `images` and `of`, as in
            `check_visualizer`; for a check `results`, each of one image; for a reader `files`; for an exporter `run`.

    Raises:
        TypeError: If it is of no kind.
        ValueError: If there is no check of a name in `known`.

    Example:
        >>> from interpretkit import Executor
        >>> class Here(Executor):
        ...     '''One after another.'''
        ...     name = "here"
        ...     def map(self, work, shards):
        ...         return map(work, shards)
        >>> [str(check) for check in checks_of(Here)]
        ['admitted', 'described_options', 'citations', 'free_id', 'order', 'lazy', 'errors']
        >>> for check in checks_of(Here):
        ...     check()
    """
    subject = next((each for each in _SUBJECTS if issubclass(offer, each.kind.base)), None)
    if subject is None:
        raise TypeError(f"{offer.__name__} is nothing that plugins offer")
    for name in known or {}:
        if name not in subject.names:
            hint = did_you_mean(name, subject.names, otherwise=f"there are {', '.join(subject.names)}")
            raise ValueError(f"no check of a {subject.kind.name} is called {name!r} ({hint})")
    found: list[NamedCheck] = subject(offer, **given).checks(known or {})
    return found


def check_visualizer(
    visualizer: type[Visualizer],
    *,
    of: Mapping[str, Result | Visualizer] | None = None,
    model: Model | None = None,
    images: Any = None,
    **options: Any,
) -> None:
    """Check at once that a visualizer keeps its contract: all that `checks_of` it would.

    Every option is described, and every citation has its entry; results are the same twice, and the same whatever the
    grouping into batches; the model is left as found; figures have a name, a caption and alt text, and drawing changes
    nothing.

    Args:
        visualizer: The class.
        of: Results that it reads, for the same images; or visualizers, as steps that it can have computed once more.
        model: What to look into; by default `tiny_model()`.
        images: `(image, channel, y, x)`; by default `tiny_images()`.
        **options: The visualizer's options.

    Raises:
        AssertionError: If it breaks the contract; the message says how.
    """
    for check in checks_of(visualizer, of=of, model=model, images=images, **options):
        check()


def check_model(builder: type[ModelBuilder], **options: Any) -> None:
    """Check at once that a builder keeps its contract: all that `checks_of` it would.

    It builds with random weights, the same from one seed, and without memory for weights; from its own weights it
    builds itself, and refuses others; its aliases and layers can be found; what it returns is what its outputs read.

    Args:
        builder: The class.
        **options: The builder's options.

    Raises:
        AssertionError: If it breaks the contract; the message says how.
    """
    for check in checks_of(builder, **options):
        check()
