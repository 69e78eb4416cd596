"""Where gradients stop: a score that depends on something, and gives no gradient for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpretkit.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

CUT = "no_grad, detach, inference_mode or a reentrant checkpoint in its forward"
_HINT = "a method without gradients explains it: occlusion, score_cam, ablation_cam"


def no_gradient(what: str, *, depends: bool) -> StepError:
    """Return the error of a score that gives no gradient for something.

    Args:
        what: The layer, or the input.
        depends: Whether the score changes with it.
    """
    if depends:
        return StepError(f"the network cuts the gradient between {what} and the score: {CUT}", hint=_HINT)
    other = "choose a layer on the way to the output" if what != "the input" else ""
    return StepError(f"the score does not depend on {what}", hint=other)


def changes(score: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> bool:
    """Return whether a score changes when `values` `(image, …)` do.

    Args:
        score: Returns the score of each image for other values.
        values: What is changed: once with a ramp over all of them added, once to nothing.
    """
    import torch

    with torch.no_grad():
        before = score(values.clone())
        ramp = torch.linspace(1, 2, values.numel(), device=values.device).reshape(values.shape).to(values)
        for changed in (values + ramp * (1 + values.abs().amax()), torch.zeros_like(values)):
            # Not finite is another score too.
            if not torch.equal(score(changed), before):
                return True
    return False
