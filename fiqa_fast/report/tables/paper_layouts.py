"""Arrangements of the papers' tables, as data.

The tables themselves could not be read. The arrangements follow descriptions of them and what is
known of the papers' measures: which rule, limits, false match rates and threshold policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fiqa_fast.evaluation.areas import CR_FIQA_LIMIT, FACEQAN_LIMITS

IN_COLUMNS = "in columns"
"""Stands for an option whose values are columns of one table."""

Dimension = Literal["network", "fmr", "limit"]


@dataclass(frozen=True)
class Layout:
    """How a paper arranges areas under EDC curves of the FNMR: rows are methods.

    Columns stand in groups, one for each data set. What is no column makes tables of its own: one
    for each verification network, FMR and limit.

    Attributes:
        paper: its short name.
        tables: those of the paper that look like this.
        threshold_policy: "fixed" or "per_discard".
        rule: of the areas, "trapezoid" or "step".
        fmrs: false match rates that the tables have.
        limits: of the areas.
        column: what the columns of a data set are.
        normalised: whether areas are divided by the error rate without discarding and the limit.
        cross_model: of a table. True: without records whose quality network is the one that
            verifies, and only where it is known to be another one for some; False: with all, and
            only where these are not all that is known; None: with all.
        in_pairs: whether rows are methods and the same methods after an optimisation.
    """

    paper: str
    tables: str
    threshold_policy: str
    rule: str
    fmrs: tuple[float, ...]
    limits: tuple[float, ...]
    column: Dimension
    normalised: bool = False
    cross_model: bool | None = None
    in_pairs: bool = False

    @property
    def title(self) -> str:
        """ "GraFIQs, Tables 2 and 3" """
        return f"{self.paper}, {self.tables}"


GRAFIQS = Layout(
    paper="GraFIQs",
    tables="Tables 2 and 3",
    threshold_policy="per_discard",
    rule="trapezoid",
    fmrs=(1e-3, 1e-4),
    limits=(CR_FIQA_LIMIT,),
    column="fmr",
)
"""AUC at two false match rates for each data set, a table for each verification network.

The arrangement follows a description; the measure is that of the released code of CR-FIQA and
GraFIQs. The paper's tables themselves were not read.
"""

CR_FIQA = Layout(
    paper="CR-FIQA",
    tables="Tables 1 and 2",
    threshold_policy="per_discard",
    rule="trapezoid",
    fmrs=(1e-3, 1e-4),
    limits=(CR_FIQA_LIMIT,),
    column="network",
)
"""AUC for each data set and verification network, a table for each false match rate.

In Table 1 (the ablation) the rows are variants of CR-FIQA: evaluate these alone for it. The
arrangement follows a description; the measure is that of the released code. The paper's tables
themselves were not read.
"""

FACEQAN_TABLE_2 = Layout(
    paper="FaceQAN",
    tables="Table II",
    threshold_policy="fixed",
    rule="step",
    fmrs=(1e-3,),
    limits=FACEQAN_LIMITS,
    column="limit",
    cross_model=False,
)
"""AUC up to four drop rates for each data set.

The drop rates are the paper's. The arrangement, the false match rate, fixed thresholds and steps
follow a description. The paper's tables themselves were not read.
"""

FACEQAN_TABLE_4 = Layout(
    paper="FaceQAN",
    tables="Table IV",
    threshold_policy="fixed",
    rule="step",
    fmrs=(1e-3,),
    limits=FACEQAN_LIMITS,
    column="limit",
    cross_model=True,
)
"""As `FACEQAN_TABLE_2`, for networks that verify what others have assessed; as little was read."""

OPTIMISATION = Layout(
    paper="Label optimisation",
    tables="Tables I to III",
    threshold_policy="fixed",
    rule="step",
    fmrs=(1e-3,),
    limits=FACEQAN_LIMITS,
    column="network",
    in_pairs=True,
)
"""Every method before and after the optimisation of its labels, and the relative change.

Of "Optimization-Based Improvement of Face Image Quality Assessment Techniques" (IWBF 2023).

The pairs follow a description. Which area the paper reports is not known: those of FaceQAN, by the
same first author, stand in for it, a table for each drop rate. The paper's tables themselves were
not read.
"""

CLIB_FIQA_FIXED = Layout(
    paper="CLIB-FIQA",
    tables="Tables 1 to 3",
    threshold_policy="fixed",
    rule="step",
    fmrs=(1e-3,),
    limits=(0.3, CR_FIQA_LIMIT),
    column="limit",
    normalised=True,
)
"""Normalised areas up to two limits for each data set, a table for each verification network.

The packaged published values are of these tables (`fiqa_fast.evaluation.published` says how they
were read). Rule and policy of the paper are not known; hence both ways.
"""

CLIB_FIQA_PER_DISCARD = Layout(
    paper="CLIB-FIQA",
    tables="Tables 1 to 3",
    threshold_policy="per_discard",
    rule="trapezoid",
    fmrs=(1e-3,),
    limits=(0.3, CR_FIQA_LIMIT),
    column="limit",
    normalised=True,
)
"""As `CLIB_FIQA_FIXED`, with the rule and policy of CR-FIQA's and GraFIQs' code."""

LAYOUTS = (
    GRAFIQS,
    CR_FIQA,
    FACEQAN_TABLE_2,
    FACEQAN_TABLE_4,
    OPTIMISATION,
    CLIB_FIQA_FIXED,
    CLIB_FIQA_PER_DISCARD,
)
