"""Targets as manifests hold them, those of the first runs included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interpretkit.results.targets import Target

Record = Mapping[str, Any]


def target_of(record: Record) -> Target:
    """Return the target that a record of the manifest is about; numbers that are none are NaN.

    Example:
        >>> names = {"label": "cat", "against_label": ""}
        >>> print(target_of({"index": 3, "against": None, "score": 9.5, "probability": 0.75, **names}))
        'cat' (logit 9.5, probability 0.75)
    """
    numbers = {name: float("nan") if record[name] is None else record[name] for name in ("score", "probability")}
    facts = record if "spec" in record else _first_form(record)
    return Target(**{**facts, **numbers})


def _first_form(record: Record) -> dict[str, Any]:
    """Return the facts of a target as the first runs hold it: a class, the class token as -1, a contrast."""
    index, against = record["index"], record["against"]
    spec = index if against is None else {"for": index, "against": against}
    output = "output" if record["score"] == record["probability"] else "logit"
    facts = {"label": record["label"], "against_label": record["against_label"]}
    if index < 0:
        return {**facts, "spec": "class_token", "quantity": "norm"}
    return {**facts, "spec": spec, "quantity": output if against is None else f"{output} difference"}
