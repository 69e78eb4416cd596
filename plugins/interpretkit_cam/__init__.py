"""Class activation maps: one formula per method, over the one capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpretkit import Visualizer


@hookimpl
def interpretkit_visualizers() -> Iterable[type[Visualizer]]:
    """Offer the methods."""
    from interpretkit_cam.ablation_cam import AblationCAM
    from interpretkit_cam.cam import CAM
    from interpretkit_cam.eigen_cam import EigenCAM, EigenGradCAM
    from interpretkit_cam.full_grad import FullGrad
    from interpretkit_cam.grad_cam import GradCAM
    from interpretkit_cam.grad_cam_plusplus import GradCAMPlusPlus
    from interpretkit_cam.hirescam import HiResCAM
    from interpretkit_cam.layer_cam import LayerCAM
    from interpretkit_cam.score_cam import ScoreCAM
    from interpretkit_cam.smooth_grad_cam_plusplus import SmoothGradCAMPlusPlus
    from interpretkit_cam.xgrad_cam import XGradCAM

    yield from (CAM, GradCAM, GradCAMPlusPlus, HiResCAM, XGradCAM, LayerCAM, EigenCAM, EigenGradCAM)
    yield from (FullGrad, ScoreCAM, AblationCAM, SmoothGradCAMPlusPlus)
