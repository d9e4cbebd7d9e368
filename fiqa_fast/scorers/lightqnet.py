"""LightQNet: a small network that learned from the quality branch of a recognition network."""

from __future__ import annotations

from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class LightQNet(LearnedScorer):
    """Learned confidence of identification. Higher is better; 0..1.

    Chen et al., "LightQNet: Lightweight Deep Face Quality Assessment for Risk-Controlled Face
    Recognition" (IEEE Signal Processing Letters 2021). Trained on pairs, labelled by whether a
    recognition network's similarity lies on the right side of its threshold (the identification
    quality loss), then distilled. The network sees the crop resized to 96x96, and gives no
    embedding. Three widths are released (depth multipliers 1, 0.5 and 0.25); which one runs depends
    on the weights.
    """

    spec = ScorerSpec(
        name="lightqnet",
        title="LightQNet",
        paper='Chen et al., "LightQNet: Lightweight Deep Face Quality Assessment for'
        ' Risk-Controlled Face Recognition", IEEE Signal Processing Letters 2021',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of LightQNet",),
        variants=(),
        networks=("lightqnet-dm100", "lightqnet-dm050", "lightqnet-dm025"),
        weights="lightqnet-dm100.pb, lightqnet-dm050.pb, lightqnet-dm025.pb",
        licence="MIT",
        proof="official",
    )
    head_kind = "lightqnet"
