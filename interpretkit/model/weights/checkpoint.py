"""Checkpoints of torch: their tensors, and nothing else of what is in them.

The layouts are those of `torch.save`: an archive with a pickle and a file for each storage, and before torch 1.6
pickles one after the other with the storages behind them.
"""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from interpretkit.model.weights import pickled
from interpretkit.model.weights.pickled import Name
from interpretkit.model.weights.strangers import ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import torch

_STORAGES = {
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_BEFORE_LENGTHS = 26
"""How many bytes of an entry of an archive stand before the lengths of its name and of what follows that."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers of one type in a checkpoint, not yet read.

    Attributes:
        key: What the checkpoint calls them.
        dtype: Their type, by its name in torch.
        start: Where they begin within what has that key, counted in numbers.
        size: How many there are.
    """

    key: str
    dtype: str
    start: int
    size: int

    def of(self, data: bytes) -> torch.Tensor:
        """Return its bytes as a tensor, given all that has its key.

        Raises:
            ValueError: If there are too few.
        """
        import torch

        unit: int = getattr(torch, self.dtype).itemsize
        first, last = self.start * unit, (self.start + self.size) * unit
        if last > len(data):
            raise ValueError(f"a storage of {len(data)} bytes is said to have {last}")
        # torch makes no tensor of an empty buffer, and warns of one that cannot be written to.
        if last == first:
            return torch.zeros(0, dtype=torch.uint8)
        return torch.frombuffer(bytearray(data[first:last]), dtype=torch.uint8)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a checkpoint; its numbers are not yet read.

    Attributes:
        storage: Where its numbers are.
        offset: Where its first number is among them.
        shape: Its shape.
        stride: How far its numbers are apart along each dim.
        dtype: Its type, where that of the storage does not say it.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str = ""

    @property
    def is_floating_point(self) -> bool:
        """Whether its numbers have a fraction."""
        return "float" in (self.dtype or self.storage.dtype)

    def of(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the tensor, given the bytes of its storage as one.

        Raises:
            ValueError: If it does not lie within them.
        """
        import torch

        typed = numbers.view(getattr(torch, self.dtype or self.storage.dtype))
        steps = zip(self.shape, self.stride, strict=True)
        reach = self.offset + sum((size - 1) * step for size, step in steps)
        if 0 not in self.shape and reach >= typed.numel():
            raise ValueError("a tensor reaches beyond its storage")
        return typed.as_strided(self.shape, self.stride, self.offset)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds: plain values, `StoredTensor`s, and `pickled.Unread` in the place of everything else."""

    contents: Any
    opened: Callable[[], AbstractContextManager[Callable[[str], bytes]]] = field(repr=False)

    def tensors(self, stored: Mapping[str, StoredTensor]) -> dict[str, torch.Tensor]:
        """Return tensors with their numbers; those that share a storage in the file share it here.

        Raises:
            Exception: Of any class, if the file is damaged.
        """
        storages = {each.storage for each in stored.values()}
        with self.opened() as bytes_of:
            numbers = {storage: storage.of(bytes_of(storage.key)) for storage in storages}
        return {name: each.of(numbers[each.storage]) for name, each in stored.items()}


def read_archive(path: Path) -> Checkpoint:
    """Read an archive of `torch.save`.

    Raises:
        ProgramError: If it is a program.
        Exception: Of any class, if it is damaged or something else.
    """
    with zipfile.ZipFile(path) as archive:
        names = {info.filename: info for info in archive.infolist()}
        if any(name.rpartition("/")[2] == "archive_format" for name in names):
            raise ProgramError
        (index,) = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        folder = index.removesuffix("data.pkl")
        if f"{folder}constants.pkl" in names:
            raise ProgramError
        if any(info.compress_type != zipfile.ZIP_STORED for info in names.values()):
            raise ValueError("a compressed archive")
        if f"{folder}byteorder" in names and _member(archive, f"{folder}byteorder") != b"little":
            raise ValueError("big-endian numbers")
        stream = BytesIO(_member(archive, index))
        contents = pickled.read(stream, makers=_MAKERS, stored=_storage)
    return Checkpoint(contents, partial(_of_archive, path, f"{folder}data/"))


@contextmanager
def _of_archive(path: Path, folder: str) -> Iterator[Callable[[str], bytes]]:
    with zipfile.ZipFile(path) as archive:
        yield lambda key: _member(archive, folder + key)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a file of an archive. torch can be told to write no checksum, and then writes 0: it is not compared."""
    info = archive.getinfo(name)
    if info.CRC:
        return archive.read(name)
    stream = archive.fp
    if stream is None:
        raise ValueError("the archive is closed")
    stream.seek(info.header_offset + _BEFORE_LENGTHS)
    lengths = stream.read(4)
    stream.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
    return stream.read(info.file_size)


def read_pickles(path: Path) -> Checkpoint:
    """Read a file that torch before 1.6 has written.

    Raises:
        Exception: Of any class, if it is damaged or something else.
    """
    read = partial(pickled.read, makers=_MAKERS)
    with path.open("rb") as stream:
        first = read(stream, stored=_storage)
        if first != _MAGIC:
            # A pickle of some other program: it has no storages, but something to be named in an error.
            return Checkpoint(first, partial(_of_pickles, path, {}))
        if read(stream, stored=_storage) != _VERSION:
            raise ValueError("another version of the layout")
        read(stream, stored=_storage)
        storages: dict[str, Storage] = {}
        contents = read(stream, stored=partial(_old_storage, storages))
        places: dict[str, tuple[int, int]] = {}
        for key in read(stream, stored=_storage):
            places[key] = _skip(stream, storages[key])
    return Checkpoint(contents, partial(_of_pickles, path, places))


def _skip(stream: IO[bytes], storage: Storage) -> tuple[int, int]:
    """Return where the bytes of a storage are and how many, and go behind them."""
    import torch

    size = int.from_bytes(stream.read(8), "little", signed=True) * getattr(torch, storage.dtype).itemsize
    place = stream.tell(), size
    if size < 0:
        raise ValueError("a storage of less than nothing")
    stream.seek(size, 1)
    return place


@contextmanager
def _of_pickles(path: Path, places: Mapping[str, tuple[int, int]]) -> Iterator[Callable[[str], bytes]]:
    with path.open("rb") as stream:
        yield partial(_bytes, stream, places)


def _bytes(stream: IO[bytes], places: Mapping[str, tuple[int, int]], key: str) -> bytes:
    start, size = places[key]
    stream.seek(start)
    return stream.read(size)


def _storage(name: Any) -> Storage | pickled.Unread:
    """Return the storage that a persistent id of an archive names."""
    noun, kind, key, _, size = name
    if noun != "storage" or not isinstance(kind, Name) or not isinstance(key, str):
        raise ValueError("a persistent id of another kind")
    if kind.name not in _STORAGES:
        return pickled.Unread(kind)
    return Storage(key, _STORAGES[kind.name], 0, _at_least_zero(size))


def _old_storage(storages: dict[str, Storage], name: Any) -> Storage | pickled.Unread:
    """Return the same of a file of pickles, where it may be a part of another one; remember the whole one."""
    *whole, part = name
    storage = _storage(tuple(whole))
    if isinstance(storage, pickled.Unread):
        raise TypeError(f"numbers of a type that is not known: {storage}")
    storages[storage.key] = storage
    if part is None:
        return storage
    _, start, size = part
    return Storage(storage.key, storage.dtype, _at_least_zero(start), _at_least_zero(size))


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor | pickled.Unread:
    if not isinstance(storage, Storage):
        return pickled.Unread(storage)
    return StoredTensor(storage, _at_least_zero(offset), _sizes(shape), _sizes(stride))


def _typed_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *others: Any) -> StoredTensor | pickled.Unread:
    import torch

    _, _, dtype, *_ = others
    stored = _tensor(storage, offset, shape, stride)
    known = isinstance(dtype, Name) and isinstance(getattr(torch, dtype.name, None), torch.dtype)
    if isinstance(stored, pickled.Unread) or not known:
        return pickled.Unread(dtype)
    return replace(stored, dtype=dtype.name)


def _sizes(sizes: Any) -> tuple[int, ...]:
    return tuple(map(_at_least_zero, sizes))


def _at_least_zero(number: Any) -> int:
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{number!r} where a size is wanted")
    return number


def _of_subclass(made_by: Any, _kind: Any, arguments: Any, *_state: Any) -> Any:
    """Return the tensor that a subclass of torch's tensors was made of."""
    maker = _MAKERS.get(str(made_by)) if isinstance(made_by, Name) else None
    return maker(*arguments) if maker else pickled.Unread(made_by)


def _first(value: Any, *_: Any) -> Any:
    return value


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return {key: value for key, value in pairs if isinstance(key, str)}


_MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda *_: {},
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _of_subclass,
}
"""What is made of a checkpoint, and by which function here: tensors, and the dicts that hold them by name."""
