"""Hashes of files, arrays and weights, and the plain data that they are taken of."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal digits.

    Example:
        >>> sha256_bytes(b"abc")[:16]
        'ba7816bf8f01cfea'
    """
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits; the file is never held in memory as a whole.

    Raises:
        OSError: If it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's dtype, shape and values in C order.

    Neither the byte order nor the strides of the array in memory count.

    Raises:
        TypeError: If it is an array of Python objects.

    Example:
        >>> array_digest(np.eye(2)) == array_digest(np.eye(2, dtype=">f8").T)
        True
        >>> array_digest(np.zeros((1, 4))) == array_digest(np.zeros((2, 2)))
        False
    """
    if array.dtype.hasobject:
        raise TypeError("an array of Python objects has no bytes to hash")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(canonical_json([array.dtype.str, array.shape]))
    digest.update(array.tobytes())
    return digest.hexdigest()


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of a state dict: of each tensor's name, dtype, shape and values, in the order of the names.

    Example:
        >>> import torch
        >>> ones, half = torch.ones(2), torch.ones(2, dtype=torch.bfloat16)
        >>> state_digest({"a": ones, "b": half}) == state_digest({"b": half, "a": ones})
        True
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]))
        # numpy has no bfloat16 and no 8-bit floats, but their bytes are as good.
        values = tensor.detach().cpu().reshape(-1).view(torch.uint8)
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def canonical_json(data: Any) -> bytes:
    """Return the one JSON text of `data`: keys sorted, no blanks, UTF-8.

    Raises:
        ValueError: If a number is NaN or infinite; JSON has no such numbers.

    Example:
        >>> canonical_json({"b": [1, 0.5], "a": None})
        b'{"a":null,"b":[1,0.5]}'
    """
    text = json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def plain(value: Any) -> Any:
    """Return `value` as JSON data: numpy numbers as Python's, paths as text, NaN and infinity as None.

    Raises:
        TypeError: If something in it is no data: neither a mapping, a sequence, text, a number nor a path.

    Example:
        >>> plain({"logit": np.float32("nan"), "size": (np.int64(3), 4)})
        {'logit': None, 'size': [3, 4]}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | Path):
        # A file name that is no UTF-8 reaches Python with lone surrogates, which no text file can hold.
        return str(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    raise TypeError(f"{type(value).__name__} {value!r:.80} is no JSON data")
