"""Text files that are never seen half-written."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a file in UTF-8, which appears, or replaces another one, when it is whole.

    Raises:
        OSError: it cannot be written there; nothing of it stays.
    """
    # The process id: two runs that write to one folder do not take each other's unfinished file.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
