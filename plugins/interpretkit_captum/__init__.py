"""Captum's attribution methods: captum computes, the rest is as for every visualizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Visualizer


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the methods."""
    from interpretkit_captum.deep_lift import DeepLift, DeepLiftShap
    from interpretkit_captum.gradients import InputXGradient, Saliency
    from interpretkit_captum.guided import Deconvolution, GuidedBackprop, GuidedGradCam
    from interpretkit_captum.layers import InternalInfluence, LayerConductance, LayerIntegratedGradients
    from interpretkit_captum.lrp import Lrp
    from interpretkit_captum.noise import SmoothGrad, VarGrad
    from interpretkit_captum.paths import GradientShap, IntegratedGradients
    from interpretkit_captum.perturbations import FeatureAblation, Occlusion, ShapleyValueSampling
    from interpretkit_captum.surrogates import KernelShap, Lime

    yield from (Saliency, InputXGradient, SmoothGrad, VarGrad, IntegratedGradients, GradientShap)
    yield from (GuidedBackprop, Deconvolution, GuidedGradCam, DeepLift, DeepLiftShap, Lrp)
    yield from (Occlusion, FeatureAblation, ShapleyValueSampling, Lime, KernelShap)
    yield from (LayerConductance, InternalInfluence, LayerIntegratedGradients)
