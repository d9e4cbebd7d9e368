"""The exceptions of the package: one tree, so that ``except FiqaError`` catches every refusal.

A message names the argument, what was expected, what was found, and the remedy.
"""

from __future__ import annotations

from fiqa_fast.types import FailureReason


class FiqaError(Exception):
    """Base of every error that fiqa_fast raises on purpose."""


class InvalidArgumentError(FiqaError, ValueError):
    """An argument has a wrong name, shape, dtype, range or value."""


class WeightsError(FiqaError):
    """A weights file is missing, damaged, or does not fit the network."""


class UnavailableError(FiqaError):
    """Something that was asked for by name (device, precision, engine) cannot run here."""


class ResultsError(FiqaError):
    """An output folder cannot be used as it is."""


class ImageError(FiqaError):
    """One image cannot be used. Batch jobs turn it into a row instead of stopping.

    Args:
        reason: the machine-readable reason that stands in the row.
        message: the sentence for a person.
    """

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
