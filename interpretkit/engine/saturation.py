"""Scores of whose gradient nothing but rounding is left: what is said of them, and what can be explained instead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from interpretkit.model.outputs.settling import LOGITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from interpretkit.model.model import Model
    from interpretkit.results.targets import Target


def saturation(targets: Sequence[Target], model: Model) -> Iterator[str]:
    """Yield what to say of the targets of a batch whose gradient is rounding, if there are any."""
    saturated = [target for target in targets if target.saturated]
    if saturated:
        whose = f" of {len(saturated)} images" if len(saturated) > 1 else ""
        yield _in_words(saturated[0], model, whose=whose)


def _in_words(target: Target, model: Model, *, whose: str) -> str:
    if target.quantity == "norm":
        score = f"the norm{whose} is {target.score:.4g} but for rounding, as of any normalised vector"
        return f"{score}, so there is nothing to explain: ask {{like: IMAGE}}, or read the layer before that"
    if target.quantity == "cosine":
        score = f"the vector{whose} has the direction that it is compared with"
        return f"{score}, where the gradient of the cosine is 0 but for rounding; compare it with another"
    way = "let the network return its logits"
    if LOGITS in model.outputs:
        way = f"explain the logits: target {_of_logits(target)}"
    if math.isnan(target.probability):
        return f"the probabilities of {target.label!r}{whose} are 1 or 0 at each pixel but for rounding; {way}"
    limit = round(target.probability)
    score = f"the probability of {target.label!r}{whose} is {limit} but for rounding"
    return f"{score}, and so is its gradient 0; {way}"


def _of_logits(target: Target) -> str:
    """Return the same target of the logits, as a recipe writes it."""
    spec = target.spec if isinstance(target.spec, Mapping) else {"class": target.spec}
    asked = {"of": LOGITS, **spec}
    return "{" + ", ".join(f"{key}: {value}" for key, value in asked.items()) + "}"
