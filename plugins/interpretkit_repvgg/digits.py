"""The builder that recipes name as `digits`: a small RepVGG that comes trained, in the files beside this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from interpretkit import Model, ModelBuilder, Preprocessing
from interpretkit_repvgg.builder import RepVGGBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

DEPTHS, WIDTHS = (1, 2, 4, 1), (16, 32, 64, 128)
MEAN, STD = 0.2, 0.2
"""Of the images that it was trained with, `training/digits.py`."""

_SIDE = 128


class DigitsBuilder(ModelBuilder):
    """A small RepVGG of grey images of 128×128 pixels that hold one handwritten digit among fragments of others.

    `weights: builtin` are trained and come along: nothing is downloaded. `sample:digits` are images that no training
    saw, each with its digit and a mask of where it is. Layers are called as those of `repvgg`: `stage0` … `stage4`.

    Example:
        >>> from interpretkit import load_model
        >>> load_model("digits", weights="builtin", device="cpu").classes
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """

    name = "digits"
    citations = {"ding2021repvgg": "the network", "alpaydin1998digits": "the digits that it was trained with"}

    class Options(ModelBuilder.Options):
        """In which form."""

        form: Literal["train", "deploy"] = "train"
        """`train` keeps the branches of every block; `deploy` fuses them into one convolution, the same function."""

    options: Options

    def build(self, state: Mapping[str, torch.Tensor] | None) -> Model:
        """Build the model in eval mode and load `state` into it; without one its weights stay as initialised.

        Raises:
            WeightsError: If `state` does not fit.
        """
        options = RepVGGBuilder.Options(
            variant="custom",
            depths=list(DEPTHS),
            widths=list(WIDTHS),
            num_classes=10,
            in_channels=1,
            names=list("0123456789"),
            form=self.options.form,
        )
        grey = Preprocessing(resize=_SIDE, crop=_SIDE, mean=(MEAN,), std=(STD,))
        return replace(RepVGGBuilder(options).build(state), name="RepVGG-digits", preprocessing=grey)

    def builtin(self) -> Path:
        """Return the file of the trained weights."""
        return Path(__file__).with_name("digits.safetensors")
