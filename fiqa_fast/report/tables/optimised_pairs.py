"""Which methods are others after an optimisation of their labels: told by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPTIMISED = re.compile(
    r"(?P<base>.+?)"
    r"(?:\s*\((?:opt|optimi[sz]ed)\)|[\s+_-]+(?:opt|optimi[sz]ed))"
    r"(?P<rest> \(.+\)| on .+)?",  # the run or the network, where the report names it
    re.IGNORECASE,
)


def find_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each optimised method behind the one that it was: ("magface", "magface+opt").

    Optimised are "magface+opt", "magface (optimised)", "magface optimized" and "magface_opt", where
    "magface" is among the names.
    """
    pairs = [(base, name) for name in names if (base := _base_among(name, names)) is not None]
    return sorted(pairs, key=lambda pair: names.index(pair[0]))


def _base_among(name: str, names: Sequence[str]) -> str | None:
    found = _OPTIMISED.fullmatch(name)
    if found is None:
        return None
    candidates = (found["base"] + (found["rest"] or ""), found["base"])
    return next((candidate for candidate in candidates if candidate in names), None)
