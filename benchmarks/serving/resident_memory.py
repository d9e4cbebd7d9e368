"""Memory of a server and of the processes that it started, over the requests that it answered."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import numpy as np

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ResidentMemory:
    """Samples of resident memory, in bytes, at counts of requests.

    Shared pages are counted in every process that has them; what they do not do is grow.

    Args:
        pid: of the server.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._requests: list[int] = []
        self._bytes: dict[str, list[int]] = {"server": [], "models": []}

    def sample(self, requests: int) -> None:
        """Looks now, after so many requests."""
        self._requests.append(requests)
        self._bytes["server"].append(_resident_bytes(self._pid))
        self._bytes["models"].append(sum(map(_resident_bytes, _descendants(self._pid))))

    def growth(self) -> dict[str, dict[str, float]]:
        """Of the server and of its models: MiB at the end, and the least-squares slope."""
        return {
            name: {
                "mib": sizes[-1] / 2**20,
                "bytes_per_request": float(np.polyfit(self._requests, sizes, 1)[0]),
            }
            for name, sizes in self._bytes.items()
        }


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _descendants(pid: int) -> list[int]:
    children = defaultdict(list)
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            children[int(fields[1])].append(int(process.name))
    found, waiting = [], [pid]
    while waiting:
        below = children[waiting.pop()]
        found += below
        waiting += below
    return found
