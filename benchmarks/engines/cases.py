"""The methods whose graphs are compared and timed, each on a network that it can run on.

SFace and LightQNet have their own weights, the others those of the golden recipe: fit for comparing
engines, not for judging faces.
"""

from __future__ import annotations

from pathlib import Path

from fiqa_fast.backbones.layers.heads import (
    CrFiqaHead,
    DifFiqaRHead,
    EDifFiqaHead,
    FaceQnetHead,
    PcNetHead,
    PfeHead,
    QualityHead,
    RegressorHead,
    SddFiqaHead,
)
from fiqa_fast.benchmark.recipe_weights import backbone
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import create_scorer

LIGHTQNET = Path(__file__).parents[2] / "tests/golden/lightqnet/lightqnet-dm100.pb"
_HEADS: dict[str, tuple[str, QualityHead | None]] = {
    "cr-fiqa": ("iresnet50", CrFiqaHead(512)),
    "magface": ("magface-iresnet50", None),
    "ediffiqa": ("iresnet18", EDifFiqaHead(512, 1024, normalises=False)),
    "diffiqa-r": ("iresnet50", DifFiqaRHead(512)),
    "label-regressor": ("iresnet50", RegressorHead(512)),
    "pcnet": ("iresnet18", PcNetHead(512)),
    "sdd-fiqa": ("sdd-ir50", SddFiqaHead(512 * 7 * 7)),
    "pfe": ("sphereface64", PfeHead(512 * 7 * 6, 512)),
    "faceqnet": ("faceqnet", FaceQnetHead({"0_relu": (2048, 32), "1_linear": (32, 1)})),
}
CASES = (
    *(f"{method}@sface" for method in ("embedding-norm", "froq", "ser-fiq", "grafiqs", "faceqan")),
    *(f"{method}@iresnet50" for method in ("embedding-norm", "froq", "ser-fiq", "grafiqs")),
    *(f"{method}@{network}" for method, (network, _) in _HEADS.items()),
    "lightqnet@lightqnet-dm100",
    "grafiqs@mobilefacenet",
    "embedding-norm@dlib-resnet29",
)


def make(case: str, engine: str = "auto") -> Scorer:
    """A method in float32 on its network, as METHOD@NETWORK."""
    method, network = case.split("@")
    if network == "sface":
        return create_scorer(method, engine=engine)
    if method == "lightqnet":
        return create_scorer(method, weights=LIGHTQNET, precision="float32", engine=engine)
    head = _HEADS[method][1] if method in _HEADS else None
    return create_scorer(method, backbone=backbone(network, head=head), engine=engine)
