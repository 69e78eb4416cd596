"""What the first runs say otherwise: their manifests brought to the form of today, before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpretkit.results.axes import spatial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def brought_up(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest in the form of today; what is no data of a run stays as it is, for the records to refuse.

    Example:
        >>> cat = {"index": 3, "label": "cat", "score": 9.5, "probability": 0.5, "against": None, "against_label": ""}
        >>> brought_up({"steps": [{"targets": {"photo": cat}}]})["steps"][0]["targets"]["photo"][0]["spec"]
        3
    """
    parts = {"steps": _step, "inputs": _image}
    brought = {part: _each(manifest[part], change) for part, change in parts.items() if part in manifest}
    return {**manifest, **brought}


def with_geometry(facts: Any) -> Any:
    """Return what is said of a map with its extent by axis, not as height and width, and with the spacing of cells."""
    if not (isinstance(facts, dict) and "layer" in facts and isinstance(facts.get("dims"), list)):
        return facts
    return {"spacing": {}, **_with_extent(facts)}


def _with_extent(facts: dict[str, Any]) -> dict[str, Any]:
    if not _is_pair(facts.get("input_size")):
        return facts
    pixels = dict(zip(spatial(2), facts["input_size"], strict=True))
    rest = {name: fact for name, fact in facts.items() if name != "input_size"}
    return {**rest, "extent": {axis: pixels[axis] for axis in facts["dims"] if axis in pixels}}


def _image(image: Any) -> Any:
    """Return what is said of an image with the number of each prediction as its score: it was always a logit."""
    if not isinstance(image, dict) or not isinstance(image.get("predictions"), dict):
        return image
    predictions = {key: _each(found, _prediction) for key, found in image["predictions"].items()}
    return {**image, "predictions": predictions}


def _prediction(found: Any) -> Any:
    if not isinstance(found, dict) or "logit" not in found:
        return found
    facts = {name: fact for name, fact in found.items() if name != "logit"}
    quantity = "output" if found["logit"] == found.get("probability") else "logit"
    return {**facts, "score": found["logit"], "quantity": quantity}


def _step(step: Any) -> Any:
    if not isinstance(step, dict):
        return step
    brought = dict(step)
    if "maps" in step:
        brought["maps"] = _each(step["maps"], with_geometry)
    if isinstance(step.get("targets"), dict):
        brought["targets"] = {image: _targets(found) for image, found in step["targets"].items()}
    return brought


def _targets(found: Any) -> Any:
    """Return the targets of an image as a list; the very first runs hold the only one itself."""
    return _each([found] if isinstance(found, dict) else found, _target)


def _target(target: Any) -> Any:
    """Return a target as a recipe writes it; it was a class, the class that it is set against, and -1 for a token."""
    if not isinstance(target, dict) or "spec" in target or not {"index", "against"} <= target.keys():
        return target
    index, against = target["index"], target["against"]
    facts = {name: fact for name, fact in target.items() if name not in ("index", "against")}
    if index == -1:
        return {**facts, "spec": "class_token", "quantity": "norm"}
    # Of a network that returns probabilities, the score of a class is its probability.
    output = "output" if target.get("score") == target.get("probability") else "logit"
    if against is None:
        return {**facts, "spec": index, "quantity": output}
    return {**facts, "spec": {"for": index, "against": against}, "quantity": f"{output} difference"}


def _each(found: Any, change: Callable[[Any], Any]) -> Any:
    return [change(each) for each in found] if isinstance(found, list) else found


def _is_pair(found: Any) -> bool:
    return isinstance(found, list) and len(found) == len(("height", "width"))
