"""Feature maps against attribution maps, attribution maps against each other, layers against layers; and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Visualizer


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the comparisons and the scores."""
    from interpretkit_compare.agreement import Agreement
    from interpretkit_compare.channel_contributions import ChannelContributions
    from interpretkit_compare.cka import CKA
    from interpretkit_compare.compare import Compare
    from interpretkit_compare.deletion_insertion import DeletionInsertion
    from interpretkit_compare.depth_sweep import DepthSweep
    from interpretkit_compare.infidelity import Infidelity
    from interpretkit_compare.localization_scores import Localization
    from interpretkit_compare.randomization_cascade import RandomizationCascade
    from interpretkit_compare.sensitivity import SensitivityMax
    from interpretkit_compare.slices import Slices
    from interpretkit_compare.sparseness import Sparseness

    yield Compare
    yield Agreement
    yield ChannelContributions
    yield CKA
    yield DeletionInsertion
    yield SensitivityMax
    yield Infidelity
    yield Sparseness
    yield Localization
    yield DepthSweep
    yield Slices
    yield RandomizationCascade
