"""Find images and check their files without decoding them."""

from __future__ import annotations

import glob
import re
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpretkit import words
from interpretkit.digests import sha256_file
from interpretkit.errors import MOST_FAULTS, InputError, RecipeError, did_you_mean
from interpretkit.figures.settings import matplotlib
from interpretkit.inputs import ids
from interpretkit.inputs.files import below, check_file, file_errors, inside, matching, printable, status_of
from interpretkit.inputs.manifest import MANIFESTS, doubts, read_manifest
from interpretkit.inputs.reading import Reading
from interpretkit.recipe.entries import Columns, InputEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from interpretkit.inputs.manifest import Row

    Pages = Callable[[Path, Reading], int]

EXTENSIONS = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""The endings of the files that are taken out of a folder or a glob, in small or capital letters."""

ARRAYS = (".npy", ".npz")
"""The endings of the files that only a glob takes: in a folder, arrays may be anything."""

DIGITS = "digits"
"""The sample that is several images: handwritten digits among fragments, with their labels and masks."""

SAMPLES = {"grace_hopper": "grace_hopper.jpg", "present": "Minduka_Present_Blue_Pack.png"}
"""Images that come with matplotlib, for `sample:NAME`."""

_OF_SYSTEMS = {"thumbs.db", "desktop.ini"}
"""Files that systems put into folders and hide."""

_PAGE = re.compile(r"(.+)#([^#/]*)", re.DOTALL)
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image that was found, and is not yet decoded.

    Attributes:
        id: Unique within the run, even where upper and lower case are not told apart; a file name on every system.
        source: Where it came from, as given or as found; unprintable characters are escaped.
        path: The file.
        label: Its label, from the manifest or the name of its folder: a class index or name.
        mask: The file of its mask from the manifest.
        columns: What the other columns of the manifest say of it.
        page: Which page of the file, from 0; None where nobody asks for one.
        reading: How it is to be read.
    """

    id: str
    source: str
    path: Path
    label: str | None = None
    mask: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    page: int | None = None
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What inputs come to.

    Attributes:
        listed: Every image in order; in the place of one that cannot be used, why.
        remarks: What whoever looks at the images must know, such as what else was in a folder.
    """

    listed: tuple[ImageFile | InputError, ...]
    remarks: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """The images that can be used."""
        return tuple(each for each in self.listed if isinstance(each, ImageFile))

    @property
    def faults(self) -> tuple[InputError, ...]:
        """Why the others cannot."""
        return tuple(each for each in self.listed if isinstance(each, InputError))


def find(entries: Sequence[str | InputEntry], *, pages: Pages, suffixes: Iterable[str] = ()) -> Found:
    """Find the images that `entries` name, in their order, and check each file without decoding it.

    An entry is a file; a folder, for the images directly inside; a glob with `*`, `?`, `[` or `**`; a manifest (CSV, or
    Parquet, Feather and Arrow where pyarrow is installed) with a column `path` (relative to the manifest's folder) and,
    if there are any, `label` and `mask` (the path of an image that is non-zero where the object is); or
    `sample:grace_hopper`, `sample:present`, or `sample:digits`, which is thirty images with labels and masks, or
    `sample:digits/7a`, one of them.
    `stack.tif#3` is the third page of a file. Of folders and globs, files with the extension of an image are taken,
    sorted, without hidden ones.

    A file of a folder, a glob or a manifest that is missing, empty or no regular file costs only itself, and so does a
    named file that is empty.

    Args:
        entries: What is named.
        pages: Tells how many pages a file has.
        suffixes: What further files of folders and globs are images, in lower case with the dot.

    Raises:
        InputError: If an entry names no image or what is not there, or if no image is left.
        RecipeError: If what is said of an entry does not fit it.
        PluginError: If a manifest needs pyarrow, and that is not installed.

    Example:
        >>> [image.id for image in find(["sample:grace_hopper"], pages=lambda path, reading: 1).files]
        ['grace_hopper']
    """
    return _find(entries, pages, suffixes)


def find_images(entries: Sequence[str], *, suffixes: Iterable[str] = ()) -> tuple[ImageFile, ...]:
    """Find images as `find` does, but raise whatever it would leave out.

    Example:
        >>> [image.id for image in find_images(["sample:grace_hopper"])]
        ['grace_hopper']
    """
    found = _find(entries, None, suffixes)
    for fault in found.faults:
        raise fault
    return found.files


def _find(entries: Sequence[str | InputEntry], pages: Pages | None, suffixes: Iterable[str]) -> Found:
    if not entries:
        raise InputError("no images are given", hint="name files, folders, globs, or sample:grace_hopper")
    listed: list[ImageFile | InputError] = []
    remarks: list[str] = []
    for entry in entries:
        if not entry:
            raise InputError("an empty name names no image", hint="'.' is this folder")
        # Not parsed: the name of a file may be no text, which pydantic would refuse.
        asked = InputEntry.model_construct(path=entry) if isinstance(entry, str) else entry
        expanding = _Expanding(asked, pages, suffixes)
        expanding.expand()
        listed += expanding.listed
        remarks += expanding.remarks
    found = Found(listed=_with_unique_ids(listed), remarks=tuple(remarks))
    if not found.files:
        raise found.faults[0]
    return found


class _Expanding:
    """One entry, on its way to the images that it names.

    Args:
        asked: The entry.
        pages: Tells how many pages a file has; None where nobody asks.
        suffixes: What further files are images.
    """

    def __init__(self, asked: InputEntry, pages: Pages | None, suffixes: Iterable[str]) -> None:
        self.listed: list[ImageFile | InputError] = []
        self.remarks: list[str] = []
        self._asked = asked
        self._where = printable(asked.path)
        self._pages = pages
        self._endings = (*EXTENSIONS, *sorted({*suffixes} - {*EXTENSIONS}))
        self._faults = 0

    def expand(self) -> None:
        """Find its images."""
        name = self._asked.path
        if name.startswith("sample:"):
            self._check_fits("a sample")
            self._take_sample(name)
            return
        path = Path(name)
        status = status_of(path, self._where)
        if status is not None and stat.S_ISDIR(status.st_mode):
            self._check_fits("a folder", labels=True)
            self._take_folder(path)
        # A file whose name happens to look like a pattern is that file.
        elif status is None and glob.has_magic(name):
            self._check_fits("a glob", labels=True)
            self._endings = (*self._endings, *ARRAYS)
            self._take_among(matching(name), _fixed_part(path), otherwise="the pattern matches no image")
        elif path.suffix.lower() in MANIFESTS:
            self._check_fits("a manifest", columns=True)
            check_file(path, self._where)
            self._take_manifest(path)
        else:
            self._check_fits("a file")
            self._take_named(path)

    def _check_fits(self, kind: str, *, labels: bool = False, columns: bool = False) -> None:
        """Check that nothing is said of the entry that makes no sense for what it is."""
        for key, fits in (("labels", labels), ("columns", columns)):
            if getattr(self._asked, key) is not None and not fits:
                place = self._asked.place(key, part="key") or self._where
                raise RecipeError(f"{self._where} is {kind}, of which nobody can say {key!r}", where=place)

    def _take_sample(self, name: str) -> None:
        kind, _, which = name.removeprefix("sample:").partition("/")
        if kind != DIGITS:
            self._add(_sample(name))
            return
        files = {file.id: file for file in _digits(name)}
        if which and which not in files:
            hint = did_you_mean(which, files, otherwise=f"there are {words.listed(files, most=3)}")
            raise InputError(f"there is no sample {which!r} of {DIGITS}", where=self._where, hint=hint)
        for file in [files[which]] if which else files.values():
            self._add(file)

    def _take_named(self, path: Path) -> None:
        path, page = _with_page(path, self._where)
        status = status_of(path, self._where)
        try:
            file = _image_file(path, self._where, page=page)
        except InputError as fault:
            # What is not there was perhaps mistyped, and nothing has been computed yet.
            if status is None or not stat.S_ISREG(status.st_mode):
                raise
            self._leave_out(fault)
        else:
            self._add(file)

    def _take_folder(self, folder: Path) -> None:
        if self._asked.labels:
            self._take_among(below(folder, self._where), folder, otherwise="the folder holds no image")
            return
        self._take_among(inside(folder, self._where), folder, otherwise="the folder holds no image")

    def _take_among(self, paths: Iterable[Path], root: Path, *, otherwise: str) -> None:
        """Take the images among some files, and say what the others are."""
        with file_errors(self._where):
            files = sorted(path for path in paths if not _is_hidden(path) and not path.is_dir())
        images = [path for path in files if path.name.lower().endswith(self._endings)]
        others = _counted(path for path in files if not path.name.lower().endswith(self._endings))
        if not images:
            what = f"{otherwise}, but {others}" if others else otherwise
            raise InputError(what, where=self._where, hint=self._advice(root))
        labelled = [path for path in images if _label(path, root)] if self._asked.labels else images
        if not labelled:
            what = f"no image lies in a folder below {printable(str(root))}"
            raise InputError(what, where=self._where, hint="the names of these folders are the labels")
        if unlabelled := len(images) - len(labelled):
            others = ", ".join(filter(None, [f"{words.count(unlabelled, 'image')} in no folder of a label", others]))
        if others:
            self.remarks.append(f"{self._where}: left out {others}")
        for path in labelled:
            label = _label(path, root) if self._asked.labels else None
            self._try(path, printable(str(path)), label=label)

    def _advice(self, root: Path) -> str:
        """Say where images may be, if none is where they were looked for."""
        known = f"images are {' '.join(self._endings)}"
        if self._asked.labels or Path(self._asked.path) != root:
            return known
        for path in below(root, self._where):
            endings = [ending for ending in self._endings if path.name.lower().endswith(ending)]
            if endings:
                folder = printable(str(root))
                pattern = f"{folder}/**/*{path.name[-len(endings[0]) :]}"
                return f"there are some deeper: {pattern}, or {{path: {folder}, labels: folder}}"
        return known

    def _take_manifest(self, path: Path) -> None:
        columns = self._asked.columns or Columns()
        rows: list[Row] = []
        with file_errors(self._where):
            for row in read_manifest(path, self._where, columns):
                if isinstance(row, InputError):
                    self._leave_out(row)
                else:
                    rows.append(row)
                    self._take_row(row, path.parent)
        if not self.listed:
            hint = "each line after the first names one"
            raise InputError("the manifest lists no image", where=self._where, hint=hint)
        self.remarks += doubts(rows, self._where)

    def _take_row(self, row: Row, folder: Path) -> None:
        try:
            mask = _listed(row.mask, folder, row.where) if row.mask else None
            if mask is not None:
                check_file(mask, row.where, advise=self._faults < MOST_FAULTS)
            path = _listed(row.path, folder, row.where)
        except InputError as fault:
            self._leave_out(fault)
        else:
            label = unicodedata.normalize("NFC", row.label) or None
            self._try(path, row.where, label=label, mask=mask, columns=row.columns)

    def _try(self, path: Path, where: str, **said: Any) -> None:
        """Take a file that is one of many, with what is said of it: if it cannot be used, that costs only itself."""
        try:
            path, page = _with_page(path, where)
            file = _image_file(path, where, page=page, advise=self._faults < MOST_FAULTS)
        except InputError as fault:
            self._leave_out(fault)
        else:
            self._add(replace(file, **said))

    def _leave_out(self, fault: InputError) -> None:
        self._faults += 1
        self.listed.append(fault)

    def _add(self, file: ImageFile) -> None:
        """Add an image, or one for each of its pages."""
        reading = _reading(self._asked)
        # Who chooses the first page need not be told that there are others.
        first = 0 if self._asked.pages == "first" else None
        file = replace(file, reading=reading, page=first if file.page is None else file.page)
        if file.page is not None and reading.pages == "volume":
            place = self._asked.place("pages") or self._where
            raise RecipeError(
                f"{file.source} is one page, not a volume", where=place, hint="take '#…' or 'pages:' away"
            )
        if self._pages is None or (file.page is None and reading.pages != "each"):
            self.listed.append(file)
            return
        count = self._pages(file.path, reading)
        if file.page is not None:
            self._check_page(file, count)
        elif count == 1:
            self.listed.append(file)
        else:
            self.listed += [_page_of(file, page) for page in range(count)]

    def _check_page(self, file: ImageFile, count: int) -> None:
        if file.page is not None and file.page >= count:
            what = f"there is no page {file.page + 1}"
            self._leave_out(InputError(what, where=file.source, hint=f"it has {words.count(count, 'page')}"))
        else:
            self.listed.append(file)


def _reading(asked: InputEntry) -> Reading:
    low, high = asked.range or (0.0, 0.0)
    return Reading(
        range=(low, high) if asked.range else None,
        bands=tuple(asked.bands) if asked.bands else None,
        pages=asked.pages or "first",
        axes=tuple(asked.axes) if asked.axes else None,
    )


def _with_page(path: Path, where: str) -> tuple[Path, int | None]:
    """Return a file and which of its pages is meant, from 0; a file whose name really ends so is that file.

    Raises:
        InputError: If the file is there, and what stands after it is no number of a page.
    """
    paged = _PAGE.fullmatch(str(path))
    if paged is None or status_of(path, where) is not None:
        return path, None
    file, page = Path(paged[1]), paged[2]
    if status_of(file, where) is None:
        return path, None
    if _NUMBER.fullmatch(page) is None:
        what = f"after '#' comes the number of a page, from 1, not {printable(page)!r}"
        raise InputError(what, where=where, hint=f"the first page is {printable(file.name)}#1")
    return file, int(page) - 1


def _page_of(file: ImageFile, page: int) -> ImageFile:
    mark = f"-p{page + 1}"
    return replace(file, id=ids.ending_in(mark, file.id), source=f"{file.source}#{page + 1}", page=page)


def _listed(name: str, folder: Path, where: str) -> Path:
    """Return a path of a manifest; one that is written as on Windows is that of the file that is there."""
    path = folder / name
    if "\\" in name and status_of(path, where) is None:
        slashed = folder / name.replace("\\", "/")
        if status_of(_with_page(slashed, where)[0], where) is not None:
            return slashed
    return path


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS


def _counted(files: Iterable[Path]) -> str:
    """Return how many files there are of each ending, the most first."""
    kinds = Counter(path.suffix.lower() for path in files)
    return ", ".join(f"{count} {printable(ending) or 'without an ending'}" for ending, count in kinds.most_common())


def _label(path: Path, root: Path) -> str:
    """Return the name of the folder directly below `root` that a file lies in; empty if it lies in none."""
    folder, *inside = path.relative_to(root).parts
    return unicodedata.normalize("NFC", printable(folder)) if inside else ""


def _fixed_part(pattern: Path) -> Path:
    """Return the part of a glob before the first that is no plain name."""
    plain = []
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        plain.append(part)
    return Path(*plain)


def _sample(entry: str) -> ImageFile:
    name = entry.removeprefix("sample:")
    if name not in SAMPLES:
        known = (*SAMPLES, DIGITS)
        hint = did_you_mean(name, known, otherwise=f"samples are {', '.join(known)}")
        raise InputError(f"there is no sample {name!r}", where=printable(entry), hint=hint)
    path = Path(matplotlib().get_data_path(), "sample_data", SAMPLES[name])
    return _image_file(path, entry, source=entry)


def _digits(where: str) -> Iterator[ImageFile]:
    folder = Path(__file__).with_name("samples") / DIGITS
    for row in read_manifest(folder / "list.csv", where, Columns()):
        if isinstance(row, InputError):
            raise row
        file = _image_file(folder / row.path, where)
        yield replace(file, source=f"sample:{DIGITS}/{file.id}", label=row.label, mask=folder / row.mask)


def _image_file(path: Path, where: str, *, source: str = "", page: int | None = None, advise: bool = True) -> ImageFile:
    check_file(path, where, advise=advise)
    name = ids.fit_for_a_file_name(path.stem)
    file = ImageFile(id=name, source=source or printable(str(path)), path=path)
    return file if page is None else _page_of(file, page)


def _with_unique_ids(listed: Sequence[ImageFile | InputError]) -> tuple[ImageFile | InputError, ...]:
    """Put the hash of the file into every id that several files would share, whatever the order of the files."""
    names = [each.id for each in listed if isinstance(each, ImageFile)]
    shared = ids.shared(names)
    taken = {*map(ids.folded, names)} - shared
    unique: list[ImageFile | InputError] = []
    for each in listed:
        if isinstance(each, ImageFile) and ids.folded(each.id) in shared:
            unique.append(_marked(each, taken))
        else:
            unique.append(each)
    return tuple(unique)


def _marked(file: ImageFile, taken: set[str]) -> ImageFile | InputError:
    """Return a file with its hash in its id, which is added to those `taken`; why not, if it cannot be read."""
    try:
        with file_errors(file.source):
            mark = f"-{sha256_file(file.path)[:8]}"
    except InputError as fault:
        return fault
    name = ids.marked(file.id, mark, taken)
    taken.add(ids.folded(name))
    return replace(file, id=name)
