"""Keeps OpenCV from writing to the console what the package reports itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_lock = threading.Lock()
_inside = 0
_level_outside = 0


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """No OpenCV log output while any thread is inside; the user's level is back afterwards.

    The level is a global of the process, so threads that overlap share one change: the first in
    remembers the level, the last out restores it.
    """
    global _inside, _level_outside
    with _lock:
        if _inside == 0:
            _level_outside = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                cv2.utils.logging.setLogLevel(_level_outside)
