"""Numbers, shapes, counts and lists in words, the same in figures, messages and pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MINUS = "−"
_ROUNDS_TO_ONE = 0.9995


def number(value: float) -> str:
    """Return `value` with three significant digits, as figures print it.

    Example:
        >>> number(0.12345), number(-2.0), number(12345.6), number(3.1e-9)
        ('0.123', '−2', '12346', '3.1e−9')
    """
    size = abs(value)
    if size == 0 or not math.isfinite(value):
        text = f"{size if size == 0 else value:g}"
    elif 1e-3 <= size < 1e5:  # noqa: PLR2004 - written out within these bounds, with an exponent beyond them
        text = f"{value:.0f}" if size >= 999.5 else f"{value:.3g}"  # noqa: PLR2004 - 999.5 rounds to four digits
    else:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", _MINUS)


def fixed(value: float, form: str = ".2") -> str:
    """Return a value with a fixed number of decimals, in a format such as `.2`, or `+.2` for one with its sign.

    Example:
        >>> fixed(-0.5), fixed(0.125, "+.1"), fixed(float("nan"))
        ('−0.50', '+0.1', 'undefined')
    """
    if math.isnan(value):
        return "undefined"
    return f"{value:{form}f}".replace("-", _MINUS)


def percent(share: float, form: str = ".1") -> str:
    """Return a share in percent, in a format such as `.0` for whole ones or `+.1` for one digit and a sign.

    Example:
        >>> percent(0.0123), percent(0.2, ".0"), percent(-0.5, "+.1"), percent(float("nan"))
        ('1.2 %', '20 %', '−50.0 %', 'undefined')
    """
    if math.isnan(share):
        return "undefined"
    return f"{fixed(100 * float(share), form)} %"


def chance(probability: float) -> str:
    """Return a probability with three digits; what only rounds to 1 is not called that.

    Example:
        >>> chance(0.39321), chance(0.99974), chance(2.5e-7), chance(1.0)
        ('0.393', '> 0.999', '2.5e-07', '1')
    """
    return "> 0.999" if _ROUNDS_TO_ONE <= probability < 1 else f"{probability:.3g}"


def shape(lengths: Iterable[int]) -> str:
    """Return a shape, or another sequence of lengths, as text.

    Example:
        >>> shape((3, 4)), shape(())
        ('3×4', 'a number')
    """
    return "×".join(map(str, lengths)) or "a number"


def count(amount: int, noun: str) -> str:
    """Return an amount with its noun.

    Example:
        >>> count(1, "cell"), count(3, "cell"), count(0, "forward pass")
        ('1 cell', '3 cells', '0 forward passes')
    """
    return f"{amount} {plural(noun, amount)}"


def plural(noun: str, amount: int) -> str:
    """Return a noun as it stands after an amount.

    Example:
        >>> plural("image", 1), plural("image", 2000)
        ('image', 'images')
    """
    if amount == 1:
        return noun
    return f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"


def listed(names: Iterable[str], *, most: int) -> str:
    """Return names with commas between them; of more than `most` the first ones.

    Example:
        >>> listed(["a", "b", "c"], most=3), listed(["a", "b", "c"], most=2)
        ('a, b, c', 'a, b, …')
    """
    found = list(names)
    more = ["…"] if len(found) > most else []
    return ", ".join([*found[:most], *more])
