"""FaceQnet: a recognition network whose last layers were trained to tell a comparison's score."""

from __future__ import annotations

from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.learned import LearnedScorer


class FaceQnet(LearnedScorer):
    """Learned similarity with a perfect photograph. Higher is better; 0..1.

    Hernandez-Ortega et al., "FaceQnet: Quality Assessment for Face Recognition based on Deep
    Learning" (ICB 2019), and "Biometric Quality: Review and Application to Face Recognition with
    FaceQnet" (2020). A ResNet-50 for recognition got a new head, which learned the similarity of a
    photograph with the one of the same person that keeps best to the rules for passports. Which of
    the two released versions runs depends on the weights. The authors recommend the tight boxes of
    a detector; here the network sees the aligned crop, resized to 224x224.
    """

    spec = ScorerSpec(
        name="faceqnet",
        title="FaceQnet",
        paper='Hernandez-Ortega et al., "FaceQnet: Quality Assessment for Face Recognition based on'
        ' Deep Learning", ICB 2019',
        outputs=("score",),
        default_output="score",
        higher_is_better=True,
        needs=("head of FaceQnet",),
        variants=(),
        networks=("faceqnet",),
        weights="FaceQnet.h5 (version 0), FaceQnet_v1.h5 (version 1)",
        licence="free for non-profit projects, says its first author; no licence file",
    )
    head_kind = "faceqnet"
