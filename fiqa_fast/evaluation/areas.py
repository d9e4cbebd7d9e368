"""Single numbers that sum an EDC curve up, as the papers define them. Smaller is better."""

from __future__ import annotations

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.types import Float64Array

RULES = ("trapezoid", "step")
CR_FIQA_LIMIT = 0.95
"""CR-FIQA and GraFIQs: trapezoids over the discard fractions 0, .05, ... .95."""
FACEQAN_LIMITS = (0.1, 0.2, 0.4, 0.8)
"""FaceQAN, Tables II and IV."""
DIFFIQA_LIMITS = (0.2, 0.3)
"""Discard fractions that the DifFIQA papers look at; divided by FNMR at 0 and the limit."""


def area_under_edc(
    discard_fraction: Float64Array, error_rate: Float64Array, limit: float, rule: str
) -> float:
    """The area under a curve up to a discard fraction; not divided by anything.

    Args:
        discard_fraction: float64 [P], ascending from 0.
        error_rate: float64 [P].
        limit: 0 < limit <= 1.
        rule: "step": the error rate holds until the next point (every distinct quality a step);
            "trapezoid": straight lines between the points, as numpy.trapezoid over the published
            codes' 20 points.

    Raises:
        InvalidArgumentError: an unknown rule, or a limit out of range.
    """
    if rule not in RULES or not 0 < limit <= 1:
        raise InvalidArgumentError(
            f"evaluate: expected rule to be one of {', '.join(RULES)} and 0 < limit <= 1, got"
            f" {rule!r} and {limit}; 0.95 is usual for trapezoids, 0.2 for steps"
        )
    inside = discard_fraction < limit
    x = np.append(discard_fraction[inside], limit)
    if rule == "step":
        return float(np.sum(error_rate[inside] * np.diff(x)))
    y = np.append(error_rate[inside], np.interp(limit, discard_fraction, error_rate))
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)))


def area_under_best(error_rate_at_0: float, limit: float) -> float:
    """The area of a method that discards all errors before anything else.

    Its curve falls as (error rate at 0 - discard fraction) until nothing is wrong (the convention
    of T. Schlett et al., "Considerations on the Evaluation of Biometric Quality Assessment
    Algorithms", 2023).
    """
    reached = min(limit, error_rate_at_0)
    return error_rate_at_0 * reached - reached**2 / 2


def normalised_area(area: float, error_rate_at_0: float, limit: float) -> float | None:
    """The area over that of a constant error rate: 1 is what random discarding gives.

    None where nothing is wrong without discarding. (The pAUC of the DifFIQA papers.)
    """
    return area / (error_rate_at_0 * limit) if error_rate_at_0 > 0 else None
