"""What to cite for a method or a network, as a line of text and as BibTeX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A paper, or a piece of software.

    Attributes:
        key: Names it in BibTeX.
        authors: As BibTeX has them: `Last, First and Last, First`; `others` for those left out.
        title: Its title.
        venue: Conference, journal or publisher, in short.
        year: When it appeared.
        kind: The entry's type in BibTeX.
        arxiv: Its number at arXiv.
        doi: Its DOI.
        remark: Which part of it is meant, or for what.

    Example:
        >>> paper = Citation(
        ...     key="he2016deep", authors="He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian",
        ...     title="Deep Residual Learning for Image Recognition", venue="CVPR", year=2016, arxiv="1512.03385",
        ... )
        >>> print(paper)
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385
        >>> print(paper.bibtex())
        @inproceedings{he2016deep,
          author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
          title = {{Deep Residual Learning for Image Recognition}},
          booktitle = {CVPR},
          year = {2016},
          eprint = {1512.03385},
          archiveprefix = {arXiv},
        }
    """

    key: str
    authors: str
    title: str
    venue: str
    year: int
    kind: Literal["inproceedings", "article", "book", "incollection", "misc"] = "inproceedings"
    arxiv: str = ""
    doi: str = ""
    remark: str = ""

    def __str__(self) -> str:
        names = [author.partition(",")[0] for author in self.authors.split(" and ")]
        # Up to three are named in full.
        who = f"{names[0]} et al." if len(names) > 3 or "others" in names else ", ".join(names)  # noqa: PLR2004
        number = f"arXiv:{self.arxiv}" if self.arxiv else f"doi:{self.doi}" if self.doi else ""
        where = f"{self.venue} {self.year}" if self.venue else str(self.year)
        text = ", ".join(filter(None, [who, self.title, where, number]))
        return f"{text} ({self.remark})" if self.remark else text

    def bibtex(self) -> str:
        """Return its BibTeX entry."""
        home = {"inproceedings": "booktitle", "incollection": "booktitle", "article": "journal"}
        fields = {
            "author": self.authors,
            # The second pair of braces keeps the capitals.
            "title": f"{{{self.title}}}",
            home.get(self.kind, "publisher"): self.venue,
            "year": str(self.year),
            "doi": self.doi,
            "eprint": self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv else "",
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])
