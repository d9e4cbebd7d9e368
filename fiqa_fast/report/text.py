"""Text for the page: names that came from a file system, numbers, digests."""

from __future__ import annotations

import math
import re
from pathlib import PurePath

# Control characters, and the ones that reverse text: a name must read as it is.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Surrogates that carry no byte of a file name; the others, U+DC80 to U+DCFF, do.
_STRAY_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def make_printable(text: str) -> str:
    """Makes any string storable as UTF-8 text: what cannot stand in one becomes U+FFFD.

    File names may hold anything but a slash and NUL; Python carries the bytes that are not UTF-8
    as lone surrogates, which no UTF-8 file can hold.
    """
    carried = _STRAY_SURROGATE.sub(_REPLACEMENT, text)
    storable = carried.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _CONTROL.sub(_REPLACEMENT, storable)


def file_name(path: str) -> str:
    """Last part of a path, printable; the whole path where it has no parts."""
    return make_printable(PurePath(path).name or path)


def format_number(value: float | None, digits: int = 4) -> str:
    """Significant digits, four unless told; a true minus sign; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{decimals}f}"
    else:
        text = f"{value:.{digits - 1}e}"
    return text.replace("-", "\N{MINUS SIGN}")


def shorten_digest(text: str) -> str:
    """First twelve digits of a SHA-256; any other text as it is."""
    return f"{text[:12]}…" if _SHA256.fullmatch(text) else text
