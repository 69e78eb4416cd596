"""What to cite for a method or a network: keys in a plugin's `references.bib`, which is read when asked for."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from interpretkit.errors import PluginError, cause, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bibtexparser.middlewares.middleware import Middleware
    from bibtexparser.model import Entry

    from interpretkit.contracts.offer import Offer

FILE = "references.bib"
_VENUES = ("booktitle", "journal", "publisher", "school", "institution", "howpublished")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A paper, or a piece of software.

    Attributes:
        key: Names it in BibTeX.
        authors: `Last, First and Last, First`; `others` for those left out.
        title: Its title.
        venue: Conference, journal or publisher, in short.
        year: When it appeared.
        arxiv: Its number at arXiv.
        doi: Its DOI.
        bibtex: Its BibTeX entry.
        remark: Which part of it is meant, or for what.

    Example:
        >>> paper = Citation(
        ...     key="he2016deep", authors="He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian",
        ...     title="Deep Residual Learning for Image Recognition", venue="CVPR", year="2016", arxiv="1512.03385",
        ... )
        >>> print(paper)
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385
    """

    key: str
    authors: str = ""
    title: str = ""
    venue: str = ""
    year: str = ""
    arxiv: str = ""
    doi: str = ""
    bibtex: str = ""
    remark: str = ""

    def __str__(self) -> str:
        names = [author.partition(",")[0] for author in self.authors.split(" and ")]
        # Up to three are named in full.
        who = f"{names[0]} et al." if len(names) > 3 or "others" in names else ", ".join(names)  # noqa: PLR2004
        number = f"arXiv:{self.arxiv}" if self.arxiv else f"doi:{self.doi}" if self.doi else ""
        where = " ".join(filter(None, [self.venue, self.year]))
        text = ", ".join(filter(None, [who, self.title, where, number]))
        return f"{text} ({self.remark})" if self.remark else text


def citations_of(offer: type[Offer]) -> tuple[Citation, ...]:
    """Return what to cite for something that a plugin offers, in its own order.

    Its keys are looked up in the `references.bib` beside the module that defines it, then beside those of the classes
    that it derives from.

    Raises:
        PluginError: If an entry is missing, or a `references.bib` is no BibTeX.

    Example:
        >>> from interpretkit_cam.grad_cam import GradCAM
        >>> for citation in citations_of(GradCAM):
        ...     print(citation.key, citation.year, citation.arxiv)
        selvaraju2017gradcam 2017 1610.02391
    """
    if not isinstance(offer.citations, Mapping):
        message = f"the citations of {offer.name!r} are no mapping of keys to remarks"
        raise PluginError(message, where=_plugin_of(offer), hint='say `citations = {"key": ""}`')
    if not offer.citations:
        return ()
    known: dict[str, Citation] = {}
    for file in reversed(list(_files(offer))):
        known |= _read(file)
    found = []
    for key, remark in offer.citations.items():
        if key not in known:
            raise _unknown(offer, key, known)
        found.append(replace(known[key], remark=remark))
    return tuple(found)


def _files(offer: type) -> Iterator[Path]:
    """Yield the files in which an offer's keys are looked up, its own first."""
    modules = dict.fromkeys(base.__module__ for base in offer.__mro__)
    files = dict.fromkeys(_beside(module) for module in modules)
    yield from (file for file in files if file is not None and file.is_file())


def _beside(module: str) -> Path | None:
    """Return where a module's `references.bib` would be; None for one that is no file, as in a notebook."""
    source = getattr(sys.modules.get(module), "__file__", None)
    return Path(source).with_name(FILE) if source else None


def _plugin_of(offer: type) -> str:
    """Return the package of an offer; of one in a file given by hand, that file."""
    module = sys.modules[offer.__module__]
    package = (module.__package__ or "").partition(".")[0]
    return package or module.__file__ or module.__name__


def _unknown(offer: type[Offer], key: str, known: Mapping[str, Citation]) -> PluginError:
    file = _beside(offer.__module__) or Path(FILE)
    otherwise = "add its BibTeX entry" if file.is_file() else "there is no such file"
    return PluginError(
        f"{offer.name!r} cites {key!r}, which is not in {file}",
        where=_plugin_of(offer),
        hint=did_you_mean(key, known, otherwise=otherwise),
    )


@cache
def _read(file: Path) -> Mapping[str, Citation]:
    """Read a file of BibTeX entries, by key.

    Raises:
        PluginError: If it is no text, something in it is no entry, or two entries have one key.
    """
    from bibtexparser import middlewares as parts

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PluginError(f"cannot be read: {cause(error)}", where=str(file)) from error
    entries = _parsed(text, file)
    # For reading, authors are ordered alike and LaTeX is resolved; many files have a bare & or %, and mean it.
    names = [parts.SeparateCoAuthors(), parts.SplitNameParts(), parts.MergeNameParts("last"), parts.MergeCoAuthors()]
    literal = re.sub(r"(?<!\\)([&%])", r"\\\1", text)
    plain = _parsed(literal, file, parts.NormalizeFieldKeys(), *names, parts.LatexDecodingMiddleware())
    return {entry.key: _citation(entry, read) for entry, read in zip(entries, plain, strict=True)}


def _parsed(text: str, file: Path, *middleware: Middleware) -> list[Entry]:
    import bibtexparser

    # What cannot be parsed is told here, not in the library's log.
    logging.getLogger("bibtexparser").addHandler(logging.NullHandler())
    library = bibtexparser.parse_string(text, append_middleware=middleware)
    for block in library.failed_blocks:
        line = (block.start_line or 0) + 1
        hint = "close every brace; give every key, and every field of an entry, once"
        raise PluginError("cannot be read as BibTeX", where=f"{file}:{line}", hint=hint)
    return library.entries


def _citation(entry: Entry, plain: Entry) -> Citation:
    """Return the citation of an entry; what people read is in `plain`."""
    lines = [f"  {field.key} = {{{field.value}}}," for field in entry.fields]
    fields = {field.key: field.value for field in plain.fields}
    archive = fields.get("archiveprefix", fields.get("eprinttype", ""))
    return Citation(
        key=entry.key,
        authors=fields.get("author", ""),
        title=fields.get("title", ""),
        venue=next((fields[name] for name in _VENUES if name in fields), ""),
        year=fields.get("year", ""),
        arxiv=fields.get("eprint", "") if archive.casefold() == "arxiv" else "",
        doi=fields.get("doi", ""),
        bibtex="\n".join([f"@{entry.entry_type}{{{entry.key},", *lines, "}"]),
    )
