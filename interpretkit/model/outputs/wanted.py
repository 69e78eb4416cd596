"""What a step wants explained: one score of each image, before a pass has shown which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interpretkit.errors import InputError
from interpretkit.model.outputs.output import for_each

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from interpretkit.model.outputs.output import Output
    from interpretkit.results.image import InputImage
    from interpretkit.results.targets import Target, TargetData


@dataclass(frozen=True, slots=True)
class Wanted:
    """A target that stands for one score of each image.

    Attributes:
        of: The name of the output that it belongs to.
        spec: Which of the targets of that output it is; `Each`, `Held` or `RunnersUp` of any output.
    """

    of: str
    spec: Hashable


@dataclass(frozen=True, slots=True)
class Each:
    """A target of its own for each image, in the order of the images."""

    specs: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Targets just as they came out, with the class and the region that they had: one for all images, or one for each.

    For variants of an image, and for another network that is fed the same images.
    """

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RunnersUp:
    """For each image the strongest other target beside the one that came out for it."""

    targets: tuple[Target, ...]


def targets_of(output: Output, spec: Hashable, values: Any, images: Sequence[InputImage]) -> tuple[Target, ...]:
    """Return the target of each image, of any spec."""
    if isinstance(spec, Held):
        scores = output.score(values, spec.targets).detach().double().tolist()
        targets = for_each(spec.targets, len(scores))
        return tuple(replace(target, score=score) for target, score in zip(targets, scores, strict=True))
    if isinstance(spec, RunnersUp):
        return tuple(_runner_up(output, target, values[row : row + 1]) for row, target in enumerate(spec.targets))
    if not isinstance(spec, Each):
        return output.targets(spec, values, images)
    found: list[Target] = []
    for row, image in enumerate(images):
        if image.position >= len(spec.specs):
            what = f"there are {len(spec.specs)} targets, and image {image.id!r} is number {image.position + 1}"
            raise InputError(what, hint="give one target for each image, or one for all")
        found += output.targets(spec.specs[image.position], values[row : row + 1], [image])
    return tuple(found)


def _runner_up(output: Output, target: Target, values: Any) -> Target:
    found = output.runner_up(target, values)
    if found is None:
        raise InputError(f"there is no other target to set beside {target.name!r}")
    return found


def among_others(output: str, spec: TargetData) -> TargetData:
    """Return the target that means the same as `spec` where the output is not the first."""
    if spec == "":
        return output
    if isinstance(spec, Mapping):
        return {"of": output, **spec}
    return {"of": output, "class": spec}
