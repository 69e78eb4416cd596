"""Images that must go alone: a network may mix those of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from interpretkit.inputs.batch import Batch
    from interpretkit.model.model import Model


def where_mixed(batches: Iterable[Batch], models: Mapping[str, Model]) -> Iterator[Batch]:
    """Yield batches, cut into single images if a model is found to mix the images of a batch.

    The first batch of several images shows it, with three small passes of each model.
    """
    for batch in batches:
        if len(batch.images) > 1 and _mixed(batch, models):
            yield from batch.singles()
        else:
            yield batch


def _mixed(batch: Batch, models: Mapping[str, Model]) -> bool:
    found = [model.batching(batch.inputs[key]) for key, model in models.items()]
    return any(batching.apart for batching in found)
