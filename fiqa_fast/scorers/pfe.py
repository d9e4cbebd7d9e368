"""PFE: the uncertainty of an embedding whose numbers are distributions."""

from __future__ import annotations

from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class Pfe(LearnedScorer):
    """Harmonic mean of the variances of the embedding's numbers. Lower is better.

    Shi, Jain, "Probabilistic Face Embeddings" (ICCV 2019). A module behind a frozen recognition
    network estimates a variance for each number of the embedding:

        sigma^2 = 1e-6 + exp(alpha BN(W2 relu(BN(W1 features))) + beta),

    where alpha and beta are one number each for all dimensions. Faces with a large harmonic mean of
    sigma^2 are discarded first.

    The authors released TensorFlow checkpoints of a 64-layer SphereFace network (`sphereface64`).
    Freeze one to a single .pb file; its names are understood. On any other network the module is
    read under names that are this package's own, see `PfeHead`. No released file was at hand: the
    names follow the authors' code, and the numbers are those of an independent twin.
    """

    spec = ScorerSpec(
        name="pfe",
        title="PFE",
        paper='Shi and Jain, "Probabilistic Face Embeddings", ICCV 2019',
        outputs=("score",),
        default_output="score",
        higher_is_better=False,
        needs=("head of PFE",),
        variants=(),
        # alpha is about 1e-4: sums with beta (-7) lose the signal in bf16 and fp16.
        precisions=("float32", "float64"),
        networks=("sphereface64",),
        weights="PFE_sphere64_msarcface_am, PFE_sphere64_casia_am, frozen to one .pb file",
        licence="MIT",
    )
    head_kind = "pfe"
