"""What the exit status of `fiqa-fast` means."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses; 0 is success, also when some images have no score."""

    UNAVAILABLE = 1
    USAGE = 2
    NOTHING_TO_SCORE = 3
    INTERRUPTED = 130
