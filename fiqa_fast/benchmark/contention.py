"""Whether something else uses the machine: how long this process waits for a processor."""

from __future__ import annotations

from pathlib import Path


def waited_s(tasks: Path = Path("/proc/self/task")) -> float | None:
    """Seconds for which threads of this process were ready to run, and had to wait, summed up.

    Args:
        tasks: where Linux tells about the threads.

    Returns:
        None where the system does not tell.
    """
    try:
        counters = [(task / "schedstat").read_text().split() for task in tasks.iterdir()]
        return sum(int(counter[1]) for counter in counters) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def waited_fraction(before_s: float | None, after_s: float | None, wall_s: float) -> float | None:
    """The part of a stretch of time that threads waited, None where it is not known.

    Threads that end take their counters with them: then it is 0 at least.

    Args:
        before_s: `waited_s()` at its beginning.
        after_s: at its end.
        wall_s: its length.
    """
    if before_s is None or after_s is None or wall_s <= 0:
        return None
    return max(0.0, after_s - before_s) / wall_s
