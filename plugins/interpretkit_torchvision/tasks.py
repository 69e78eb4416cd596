"""What torchvision's networks are for: classes of images or of clips, classes of pixels, boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from interpretkit import Boxes, EightBit, Headed, Pixels, Preprocessing, RecipeError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from PIL.Image import Image
    from torch import nn

    from interpretkit import Output

Task = Literal["classification", "video", "segmentation", "detection"]


OF_CLASSES: tuple[Task, ...] = ("classification", "video")


class Tasks(Headed):
    """What a network may be told that is for more than images of one class."""

    frames: int = Field(default=16, ge=1)
    """Of a network for clips: an image is shown to it as a clip of so many equal frames."""

    score_threshold: float | None = None
    """Of a detector: boxes of smaller scores are left out; by default torchvision's. 0 keeps all."""

    shorter_side: int | None = None
    """Of a detector: to how many pixels it resizes the shorter side of an image; by default torchvision's."""


def task_of(name: str) -> Task:
    """Return what a network of torchvision is for.

    Raises:
        RecipeError: If there is no such network.
    """
    from torchvision import models

    known: dict[str, Task] = dict.fromkeys(models.list_models(models), "classification")
    known |= dict.fromkeys(models.list_models(models.video), "video")
    known |= dict.fromkeys(models.list_models(models.segmentation), "segmentation")
    known |= dict.fromkeys(models.list_models(models.detection), "detection")
    if name not in known:
        hint = did_you_mean(name, known, otherwise=f"it has {', '.join(known)}")
        raise RecipeError(f"torchvision has no network {name!r}", hint=hint, subject=name)
    return known[name]


@dataclass(frozen=True, slots=True)
class Clip:
    """Makes a clip `(channel, frame, y, x)` of an image, all of whose frames are alike.

    Attributes:
        frames: How many.
        transform: What torchvision does with the frames of a clip for its weights.
    """

    frames: int
    transform: Any

    def __call__(self, image: Image) -> torch.Tensor:
        """Return the clip."""
        from torchvision.transforms import functional

        frame = functional.pil_to_tensor(image)
        clip: torch.Tensor = self.transform(frame.expand(self.frames, *frame.shape))
        return clip


def preprocessing_of(task: Task, transform: Any, *, frames: int) -> Preprocessing | EightBit:
    """Return the preprocessing that published weights are made for; a detector scales its images itself."""
    if task == "video":
        return EightBit(Clip(frames, transform))
    if task == "detection":
        return Preprocessing(resize=None, crop=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Preprocessing(
        resize=transform.resize_size[0],
        crop=transform.crop_size[0] if task == "classification" else None,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        interpolation=transform.interpolation.value,
    )


def settings_of(task: Task, name: str, options: Tasks, state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a network that does not classify must be told: no download, and what the weights have.

    Raises:
        RecipeError: If an option is for detectors, and this is none, or one of a fixed size.
    """
    if task not in OF_CLASSES and getattr(options, "num_classes", None) == 0:
        what = f"{name} is for {task}, and without a head it returns nothing"
        raise RecipeError(what, hint="take the classifier that is its backbone", subject=0)
    given = {key for key in ("score_threshold", "shorter_side") if getattr(options, key) is not None}
    fixed = name.startswith("ssd")
    unfit = given if task != "detection" else given & {"shorter_side"} if fixed else set()
    if unfit:
        option = min(unfit)
        whose = f"{name} takes images of one size" if task == "detection" else f"{name} finds no boxes"
        raise RecipeError(f"{whose}, so there is no {option}", hint=f"leave {option} out", subject=option)
    if task in OF_CLASSES:
        return {}
    settings: dict[str, Any] = {"weights_backbone": None}
    if task == "segmentation" and state is not None and any(key.startswith("aux_classifier") for key in state):
        settings["aux_loss"] = True
    if options.score_threshold is not None:
        rcnn = "rcnn" in name
        settings["box_score_thresh" if rcnn else "score_thresh"] = options.score_threshold
    if options.shorter_side is not None:
        settings |= {"min_size": options.shorter_side, "max_size": 2 * options.shorter_side}
    return settings


def output_of(task: Task, options: Tasks, count: int, categories: tuple[str, ...]) -> Output:
    """Return how a network is read."""
    if task in OF_CLASSES:
        return options.output_of(count, known=categories)
    names = tuple(options.names) if options.names else categories if count == len(categories) else ()
    if task == "detection":
        return Boxes(names=names)
    return Pixels(names=names, background=0, returns="logits", several=False)


def backbone_aliases(network: nn.Module) -> dict[str, str]:
    """Return `stage1`, … and `last_conv` of the backbone of a network that does not classify."""
    path = "backbone"
    if hasattr(network.backbone, "body"):
        path = "backbone.body"
    elif hasattr(network.backbone, "features"):
        path = "backbone.features"
    body = network.get_submodule(path)
    names = [name for name, _ in body.named_children()]
    stages = [name for name in names if name.startswith("layer")]
    found = {f"stage{number}": f"{path}.{name}" for number, name in enumerate(stages, start=1)}
    return found | {"last_conv": f"{path}.{names[-1]}"}
