from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embeddings import compute_embeddings
from fiqa_fast.evaluation.inputs import EvaluationSettings, MethodScores
from fiqa_fast.evaluation.protocols.base import TemplateProtocol
from fiqa_fast.evaluation.run_templates import evaluate_templates
from fiqa_fast.evaluation.templates import image_weights

SETTINGS = EvaluationSettings(fmrs=(0.1,), threshold_policies=("fixed",))


@pytest.fixture(scope="module")
def protocol(golden_dir: Path) -> TemplateProtocol:
    """Two templates of each of two people, of their clean and degraded crops."""
    crops = sorted((golden_dir / "crops").glob("person_*.png"))
    templates = {"a1": 0, "a2": 1, "b1": 2, "b2": 3}
    of = [templates[p.name[7] + p.name[9]] for p in crops]
    pairs = [(a, b) for a in range(4) for b in range(a)]
    a, b = np.asarray(pairs, dtype=np.int32).T
    return TemplateProtocol(
        name="made",
        samples=tuple(p.name for p in crops),
        sources=crops,
        aligned=True,
        landmarks=None,
        templates=tuple(templates),
        template_sample=np.arange(len(crops), dtype=np.int32),
        template_of=np.asarray(of, dtype=np.int32),
        media_of=np.arange(len(crops), dtype=np.int32),
        template_a=a,
        template_b=b,
        mated=np.asarray([x // 2 == y // 2 for x, y in pairs]),
    )


@pytest.fixture(scope="module")
def embeddings(protocol: TemplateProtocol) -> np.ndarray:
    found = compute_embeddings(protocol, load_backbone("sface"), augmentation="raw_sum")
    return found.embeddings


def is_clean(protocol: TemplateProtocol) -> np.ndarray:
    return np.asarray(["__" not in name for name in protocol.samples], dtype=np.float64)


def test_raw_sums_are_not_normalised(embeddings: np.ndarray, protocol: TemplateProtocol) -> None:
    concatenated = compute_embeddings(protocol, load_backbone("sface")).embeddings
    straight, mirrored = np.split(concatenated, 2, axis=1)

    assert np.ptp(np.linalg.norm(embeddings, axis=1)) > 1
    # e + f lies between the two directions.
    cosine = np.einsum("ij,ij->i", embeddings, straight) / np.linalg.norm(embeddings, axis=1)
    both = np.einsum("ij,ij->i", straight, mirrored)
    assert (cosine > both - 1e-5).all()


def test_weights_and_worst_images(protocol: TemplateProtocol, embeddings: np.ndarray) -> None:
    methods = [MethodScores("clean", "", True, is_clean(protocol))]

    result = evaluate_templates(protocol, methods, {"sface": embeddings}, SETTINGS)

    assert [(t.weighting, t.mated_count, t.non_mated_count) for t in result.templates] == [
        ("", 2, 4), ("clean", 2, 4),
    ]  # fmt: skip
    (curve,) = result.curves
    # Template a2 and b1 have degraded crops: each mated comparison has a worst image of quality 0.
    assert curve.discard_fraction == (0.0, 1.0)
    assert curve.verification_network == "sface"
    assert any("cannot resolve" in note for note in result.notes)


def test_images_that_weigh_nothing_do_not_count(
    protocol: TemplateProtocol, embeddings: np.ndarray
) -> None:
    spoiled = np.array(embeddings)
    clean = is_clean(protocol)
    spoiled[clean == 0] = np.random.default_rng(0).normal(size=spoiled[clean == 0].shape)
    methods = [MethodScores("clean", "", True, clean)]

    def score(rows: np.ndarray) -> list[float]:
        from fiqa_fast.evaluation.similarity import cosine_of_pairs
        from fiqa_fast.evaluation.templates import pool_templates

        pooled = pool_templates(
            rows, protocol.template_sample, protocol.template_of, protocol.media_of, 4,
            image_weights(clean),
        )  # fmt: skip
        return cosine_of_pairs(pooled, protocol.template_a, protocol.template_b).tolist()

    assert score(spoiled) == score(embeddings)
    both = evaluate_templates(protocol, methods, {"x": embeddings, "y": spoiled}, SETTINGS)
    weighted = [t.tar_at_far for t in both.templates if t.weighting]
    assert weighted[0] == weighted[1]


def test_missing_scores(protocol: TemplateProtocol, embeddings: np.ndarray) -> None:
    scores = is_clean(protocol)
    scores[0] = np.nan
    methods = [MethodScores("m", "", True, scores)]

    with pytest.raises(InvalidArgumentError, match=protocol.samples[0]):
        evaluate_templates(protocol, methods, {"sface": embeddings}, SETTINGS)
    for missing in ("lowest", "drop"):
        settings = EvaluationSettings(fmrs=(0.1,), threshold_policies=("fixed",), missing=missing)
        result = evaluate_templates(protocol, methods, {"sface": embeddings}, settings)
        assert len(result.curves) == 1
