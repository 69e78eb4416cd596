"""The numbers that tables have for each image, by the names that expectations give them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpretkit import Table

MOST_ROWS = 64
"""Tables with more rows for an image are of channels, which are no numbers of the image."""
PREDICTIONS = "predictions"
"""The table of what the model predicts, which is no step's."""


def numbers_of(tables: Mapping[str, Table], images: Sequence[str], *, between: str) -> dict[str, np.ndarray]:
    """Return the numbers `(image,)` of images by name; NaN where an image has none.

    A table has a number for each image and for each combination of its words, such as its layers, that every image has
    alike; where words do not tell its rows apart, of its whole numbers too. Where these do not either, it has none.

    Args:
        tables: By step and name; each has a column `image`.
        images: The ids.
        between: What stands between step and name.

    Example:
        >>> from interpretkit import Table
        >>> table = Table(image=["a", "a", "b", "b"], layer=["1", "2", "1", "2"], energy=[0.1, 0.2, 0.3, 0.4])
        >>> found = numbers_of({"where: depth": table}, ["a", "b"], between=": ")
        >>> {name: values.tolist() for name, values in found.items()}
        {'where.energy[layer=1]': [0.1, 0.3], 'where.energy[layer=2]': [0.2, 0.4]}
    """
    holding: dict[tuple[str, str], int] = defaultdict(int)
    for name, table in tables.items():
        for column in _numbers(table):
            holding[name.partition(between)[0], column] += 1
    found = {}
    for name, table in tables.items():
        step, _, own = name.partition(between)
        for row, chosen in _rows(table, images).items():
            for column in _numbers(table):
                # As expectations do, several tables of a step with one such column are told apart.
                of = "prediction" if name == PREDICTIONS else step
                path = f"{of}.{own}.{column}" if holding[step, column] > 1 else f"{of}.{column}"
                found[f"{path}[{row}]" if row else path] = _in_order(table, chosen, column, images)
    return found


def _numbers(table: Table) -> list[str]:
    return [column for column in table if table[column].dtype.kind in "bf"]


def _rows(table: Table, images: Sequence[str]) -> dict[str, np.ndarray]:
    """Return which rows have one number of each image, by what they have alike; none where they are not told apart."""
    alike = [column for column in table if column != "image" and _is_alike(table, column, images)]
    words = [column for column in alike if table[column].dtype.kind not in "iu"]
    whose = table["image"].astype(str).tolist()
    for keys in (words, alike):
        texts = [",".join(f"{key}={value}" for key, value in zip(keys, row, strict=True)) for row in _of(table, keys)]
        if len(set(zip(whose, texts, strict=True))) == len(table):
            written = np.array(texts)
            return {text: written == text for text in dict.fromkeys(texts)}
    return {}


def _is_alike(table: Table, column: str, images: Sequence[str]) -> bool:
    """Whether every image has the same words or whole numbers in a column, and not one alone."""
    values = table[column]
    if values.dtype.kind in "bf" or len(set(values.tolist())) < 2:  # noqa: PLR2004 - one tells no rows apart
        return False
    whose = table["image"].astype(str)
    of_images = [sorted(map(str, values[whose == image].tolist())) for image in images]
    return all(each == of_images[0] for each in of_images)


def _of(table: Table, keys: Sequence[str]) -> list[tuple[str, ...]]:
    columns = [[str(each) for each in table[key].tolist()] for key in keys]
    return list(zip(*columns, strict=True)) if columns else [()] * len(table)


def _in_order(table: Table, chosen: np.ndarray, column: str, images: Sequence[str]) -> np.ndarray:
    known = dict(zip(table["image"][chosen].astype(str).tolist(), table[column][chosen].tolist(), strict=True))
    return np.array([known.get(image, np.nan) for image in images], np.float64)
