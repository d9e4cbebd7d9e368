"""What the libraries say while they work: kept, so that a failure can be explained."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from fiqa_fast.engines.tensorrt.libraries import Library

_KEPT = 20

# Without a driver every call also reports this, which explains nothing.
_NOISE = "CUDA driver version is insufficient"


class Messages:
    """The last errors of a library, of any thread.

    Attributes:
        logger: what the library's classes want; keep it as long as any object made with it.
    """

    def __init__(self, library: Library) -> None:
        self._errors: deque[str] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self.logger = _logger(library.module, self)

    def add(self, text: str) -> None:
        """Keeps one error."""
        with self._lock:
            self._errors.append(" ".join(text.split()))

    def clear(self) -> None:
        """Forgets what was said before."""
        with self._lock:
            self._errors.clear()

    def reason(self) -> str:
        """Why the last call failed, on one line: the first two errors that say something."""
        with self._lock:
            said = list(dict.fromkeys(self._errors))
        telling = [text for text in said if _NOISE not in text] or said
        return "; ".join(telling[:2]) or "the library gave no reason"


def _logger(module: Any, messages: Messages) -> Any:
    severity = module.ILogger.Severity

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, level: Any, text: str) -> None:
            if level in (severity.INTERNAL_ERROR, severity.ERROR):
                messages.add(text)

    return Logger()
