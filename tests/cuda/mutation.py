"""A bug to plant in a kernel."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """In `file` of csrc/ops/cuda, the first `old` becomes `new`."""

    name: str
    file: str
    old: str
    new: str
