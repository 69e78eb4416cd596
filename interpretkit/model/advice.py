"""What to do about what a network of the user's own has raised."""

from __future__ import annotations

import re

from interpretkit.model.cuts import CUT

_ADVICE = (
    (r"inference tensor", f"the network cuts its gradients: {CUT}; a method without gradients takes it: occlusion"),
    (
        r"differentiated tensor",
        "it takes gradients in its own forward, which end at recorded layers: explain it at the input, by saliency",
    ),
    (
        r"use_reentrant",
        "it checkpoints with use_reentrant=True: let it use use_reentrant=False, or explain it by occlusion",
    ),
    (
        r"modified by an inplace operation",
        "it changes in place what its gradients need: let it work on a copy, or explain it by occlusion or score_cam",
    ),
    (
        r"deterministic implementation",
        "one of its operations may give other numbers each time: a recipe allows it, numerics: {deterministic: false}",
    ),
    (r"same device|on device|device type", "parts of it, or tensors that it makes, lie on another device"),
    (
        r"should be the same|scalar type|same dtype|input type|expected m1 and m2|dtype",
        "parts of it have other dtypes: bring them to one by `.float()`, or let it convert what they are given",
    ),
    (
        r"guard failed: .*size\(\)\[0\] == \d|shape\[0\] to be equal to \d",
        "it was exported for batches of one size: give it such (batch_size=…), or export it with a dynamic batch",
    ),
    (
        r"to have 1 channels?, but got 3",
        "it takes grey images: wrap(…, transform=ik.Preprocessing(mean=(0.5,), std=(0.25,))) makes them of files",
    ),
    (
        r"to have \d+ channels?, but got \d+",
        "it takes another number of channels than it is fed: wrap(…, transform=…) makes as many",
    ),
    (
        r"channel|shape|size|dimension|must match|cannot be multiplied|broadcast|divisible",
        "does it take images of this size and number of channels?",
    ),
)
"""What words of an error tell of its cause."""


def advice(error: BaseException, *, backward: bool = False) -> str:
    """Return the next step after an error of a network.

    Args:
        error: What it raised.
        backward: Whether it was raised on the way back.

    Example:
        >>> advice(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
        'does it take images of this size and number of channels?'
    """
    text = str(error).lower()
    for words, step in _ADVICE:
        if re.search(words, text) and isinstance(error, RuntimeError | ValueError | AssertionError | IndexError):
            return step
    if backward:
        return "a method without gradients takes any network: occlusion, score_cam"
    return "does the network itself run on such a batch? `--debug` shows where it failed"
