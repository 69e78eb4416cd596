"""Vectors that targets compare with: read from a file, or taken from another image, before the first batch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interpretkit.errors import InputError, cause, located
from interpretkit.inputs.find import find_images
from interpretkit.inputs.read import read_image
from interpretkit.model.feeding import fed
from interpretkit.model.outputs.vector import Compared, Like, Vector
from interpretkit.model.outputs.wanted import Each

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from interpretkit.engine.plan import Plan
    from interpretkit.inputs.decode import FileReader
    from interpretkit.model.model import Model
    from interpretkit.model.outputs.wanted import Wanted


def with_references(plan: Plan, readers: Mapping[str, FileReader]) -> Plan:
    """Return a plan with the vectors in place of the images and files that its targets name.

    Raises:
        InputError: If one cannot be read.
    """
    vectors = _Vectors(plan, readers)
    steps = []
    for step in plan.steps:
        targets = [vectors.put_into(wanted, step.model) for wanted in step.targets]
        steps.append(replace(step, targets=tuple(targets)))
    return replace(plan, steps=tuple(steps))


class _Vectors:
    """The vectors that have been read, each once."""

    def __init__(self, plan: Plan, readers: Mapping[str, FileReader]) -> None:
        self._models = plan.models
        self._readers = readers
        self._known: dict[tuple[str, str, str], Compared] = {}

    def put_into(self, wanted: Wanted, model: str) -> Wanted:
        """Return a target of a model, by its key, with the vector in place of its name."""
        read = partial(self._read, model, wanted.of)
        if isinstance(wanted.spec, Each):
            return replace(wanted, spec=Each(tuple(map(read, wanted.spec.specs))))
        return replace(wanted, spec=read(wanted.spec))

    def _read(self, model: str, output: str, spec: Hashable) -> Hashable:
        if not isinstance(spec, Like) or not isinstance(spec.like, str):
            return spec
        name = model, output, spec.like
        if name not in self._known:
            vector = _vector(spec.like, self._models[model], output, self._readers)
            self._known[name] = Compared(spec, vector)
        return self._known[name]


def _vector(name: str, model: Model, of: str, readers: Mapping[str, FileReader]) -> tuple[float, ...]:
    """Return the vector in a file of numpy, or that of an image."""
    if name.lower().endswith(".npy"):
        return _stored(Path(name))
    found, *others = find_images([name], suffixes=readers)
    if others:
        raise InputError("a vector is compared with that of one image", where=name, hint="name one file")
    _, stored = read_image(found, readers=readers)
    with located(found.source):
        image, _ = fed(model.preprocessing, stored)
    output = model.reading(of)
    values = model.read(of, image[None])
    if not isinstance(output, Vector):
        raise InputError(f"output {of!r} has no vector to compare with", hint="wrap(…, output=Vector())")
    vectors = output.vectors(values)
    return tuple(vectors[0].double().tolist())


def _stored(path: Path) -> tuple[float, ...]:
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot be read as a vector: {cause(error)}", where=str(path)) from error
    if vector.ndim != 1 or not np.issubdtype(vector.dtype, np.floating) or not np.isfinite(vector).all():
        shape = " × ".join(map(str, vector.shape))
        raise InputError(f"holds {vector.dtype} numbers {shape}, not one vector of finite floats", where=str(path))
    return tuple(vector.astype(np.float64).tolist())
