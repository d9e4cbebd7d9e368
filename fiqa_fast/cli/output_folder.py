"""The folder that a command writes to."""

from __future__ import annotations

from pathlib import Path

from fiqa_fast.errors import ResultsError


def make_folder(folder: Path, verb: str) -> None:
    """Makes a folder for results, before hours are spent on them.

    Args:
        folder: may be there already.
        verb: what wants it, for the message.

    Raises:
        ResultsError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(
            f"{verb}: expected to be able to make the folder {folder}, got {error.strerror};"
            " choose another one (-o)"
        ) from error
