import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiqa_fast import _extension
from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.training import label_optimization
from fiqa_fast.training.identity_clusters import cluster_identities
from fiqa_fast.training.identity_images import group_by_identity
from fiqa_fast.training.label_optimization import (
    moved_index,
    optimise_labels,
    optimise_with_pairs,
    quality_ranks,
    reordered,
)
from fiqa_fast.training.mated_pairs import credit_pairs, draw_pairs
from fiqa_fast.training.pair_ranks import index_sums_reference

THETAS = [(0.001, "0p001"), (0.01, "0p01")]


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "labelopt" / "data.npz") as archive:
        return dict(archive)


def draw(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Qualities, embeddings and identities of persons; worse images scatter more."""
    rng = np.random.default_rng(seed)
    identity = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    quality = rng.random(len(identity))
    centres = rng.standard_normal((len(sizes), 32))[identity]
    noise = rng.standard_normal((len(identity), 32)) * (1.5 - quality[:, None])
    return quality, (centres + noise).astype(np.float32), identity


class TestGolden:
    """What the authors' code makes of given pairs."""

    @pytest.mark.parametrize(("theta", "name"), THETAS)
    @pytest.mark.parametrize("compiled", [True, False])
    def test_labels_are_equal_bit_for_bit(self, golden, theta, name, compiled, monkeypatch):
        if not compiled:
            monkeypatch.setattr(_extension, "host", None)
        optimised = optimise_with_pairs(
            golden["quality"], golden["embedding"], golden["pairs"], theta=theta
        )
        assert np.array_equal(optimised.quality, golden[f"optimised_theta_{name}"])
        assert optimised.pair_counts == (11400, 11400, 11400)

    @pytest.mark.parametrize(("theta", "name"), THETAS)
    def test_the_mean_index_is_that_of_float64_cosines(self, golden, theta, name):
        wide = golden["embedding"].astype(np.float64)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        rank = quality_ranks(golden["quality"])
        indices = []
        for pairs in golden["pairs"]:
            cosines = (wide[pairs[:, 0]] * wide[pairs[:, 1]]).sum(1)
            sums, counts = index_sums_reference(cosines, credit_pairs(pairs, rank), 600)
            indices.append(moved_index(rank, sums, counts, theta))
        expected = golden[f"mean_target_index_theta_{name}_float64"]
        np.testing.assert_allclose(np.mean(indices, 0), expected, rtol=0, atol=1e-9)

    def test_our_pairs_of_the_given_clusters_have_the_form_of_theirs(self, golden):
        images = group_by_identity(golden["embedding"], golden["identity"])
        ours = draw_pairs(images, golden["cluster"].astype(np.uint16), 20, seed=0, repeat=0)
        theirs = golden["pairs"][0]
        met = [
            sorted(zip(pairs[:, 0].tolist(), golden["cluster"][pairs[:, 1]].tolist(), strict=True))
            for pairs in (ours, theirs)
        ]
        assert met[0] == met[1]


@pytest.mark.parametrize("variant", ["official", "paper"])
@pytest.mark.parametrize("index_scale", ["pairs", "samples"])
def test_it_is_the_pieces_put_together(variant, index_scale):
    quality, embeddings, identity = draw([1, 5, 30, 60])
    optimised = optimise_labels(
        quality,
        embeddings,
        identity,
        clusters=6,
        theta=0.1,
        repeats=3,
        seed=7,
        variant=variant,
        index_scale=index_scale,
    )
    images = group_by_identity(embeddings, identity)
    first = "k-means++" if variant == "official" else "random"
    cluster = cluster_identities(images, 6, first, seed=7)
    pairs = [draw_pairs(images, cluster, 6, seed=7, repeat=r) for r in range(3)]
    expected = optimise_with_pairs(quality, embeddings, pairs, theta=0.1, index_scale=index_scale)
    assert np.array_equal(optimised.quality, expected.quality)
    assert np.array_equal(optimised.mean_index, expected.mean_index)
    assert optimised.pair_counts == tuple(len(p) for p in pairs)
    assert not np.array_equal(optimised.quality, quality)


def test_rescaled_indices_are_those_of_ranks():
    quality, embeddings, identity = draw([40, 40])
    whole = optimise_labels(quality, embeddings, identity, theta=1.0, index_scale="samples")
    assert 0 <= whole.mean_index.min() < whole.mean_index.max() <= 79
    raw = optimise_labels(quality, embeddings, identity, theta=1.0)
    assert raw.mean_index.max() > 79


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5).filter(lambda s: max(s) > 1),
    clusters=st.integers(2, 8),
    theta=st.floats(0, 1),
    ties=st.booleans(),
)
def test_labels_keep_their_distribution(sizes, clusters, theta, ties):
    quality, embeddings, identity = draw(sizes)
    if ties:
        quality = quality.round(1)
    optimised = optimise_labels(
        quality, embeddings, identity, clusters=clusters, theta=theta, repeats=2
    )
    assert np.array_equal(np.sort(optimised.quality), np.sort(quality))
    if theta == 0:
        assert np.array_equal(optimised.quality, quality)


def test_threads_change_nothing():
    quality, embeddings, identity = draw([150] * 30)
    runs = [optimise_labels(quality, embeddings, identity, threads=t) for t in (1, 2, 3, None)]
    for run in runs[1:]:
        assert np.array_equal(run.mean_index, runs[0].mean_index)
        assert np.array_equal(run.quality, runs[0].quality)


def test_without_compiled_code_it_is_the_same(monkeypatch):
    quality, embeddings, identity = draw([20, 30, 3])
    compiled = optimise_labels(quality, embeddings, identity, clusters=5)
    monkeypatch.setattr(_extension, "host", None)
    plain = optimise_labels(quality, embeddings, identity, clusters=5)
    assert np.array_equal(plain.quality, compiled.quality)


def test_images_without_others_keep_their_rank_as_index():
    quality, embeddings, identity = draw([1, 40, 1])
    optimised = optimise_labels(quality, embeddings, identity, theta=0.5)
    alone = identity != 1
    np.testing.assert_allclose(optimised.mean_index[alone], quality_ranks(quality)[alone])


def test_labels_come_nearer_to_comparison_scores():
    """Labels that say little become better predictors of how alike the images of a person are."""
    truth, embeddings, identity = draw([60] * 20)
    rng = np.random.default_rng(1)
    noisy = truth + 0.5 * rng.standard_normal(len(truth))
    optimised = optimise_labels(noisy, embeddings, identity, theta=0.3, index_scale="samples")
    ranks = [quality_ranks(labels).astype(float) for labels in (truth, noisy, optimised.quality)]
    before, after = (np.corrcoef(ranks[0], r)[0, 1] for r in ranks[1:])
    assert after > before + 0.02


def test_repeated_pairs_count_once():
    quality, embeddings, _ = draw([10])
    pairs = np.array([[0, 1], [2, 3], [4, 5], [1, 0]])
    once = optimise_with_pairs(quality, embeddings, [pairs], theta=0.5)
    twice = optimise_with_pairs(
        quality, embeddings, [np.concatenate([pairs, pairs[::-1]])], theta=0.5
    )
    assert twice.pair_counts == (4,)
    assert np.array_equal(once.mean_index, twice.mean_index)


def test_equal_labels_keep_their_order():
    assert quality_ranks(np.array([2.0, 1, 2, 1])).tolist() == [2, 0, 3, 1]
    assert reordered(np.array([4.0, 3, 2, 1]), np.array([1.0, 0, 1, 0])).tolist() == [3, 1, 4, 2]


class TestInterruption:
    def optimise(self, folder: Path, **changed: Any) -> label_optimization.OptimisedLabels:
        quality, embeddings, identity = draw([30, 50])
        options: dict[str, Any] = {"clusters": 6, "theta": 0.1, "repeats": 4} | changed
        return optimise_labels(
            options.pop("quality", quality),
            options.pop("embeddings", embeddings),
            options.pop("identity", identity),
            checkpoint_folder=folder,
            **options,
        )

    @pytest.mark.parametrize("stop_at", [("clusters", 2), ("repeats", 0), ("repeats", 3)])
    def test_it_goes_on_with_the_same_numbers(self, tmp_path, stop_at):
        whole = self.optimise(tmp_path / "whole")

        def stop(step: str, done: int, total: int) -> None:
            if (step, done) == stop_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.optimise(tmp_path / "broken", on_progress=stop)
        seen: list[tuple[str, int]] = []
        resumed = self.optimise(
            tmp_path / "broken", on_progress=lambda step, done, _: seen.append((step, done))
        )
        assert np.array_equal(resumed.mean_index, whole.mean_index)
        assert np.array_equal(resumed.quality, whole.quality)
        assert resumed.pair_counts == whole.pair_counts
        if stop_at[0] == "repeats":
            assert seen[0] == stop_at  # nothing is done again

    def test_what_is_done_is_not_done_again(self, tmp_path, monkeypatch):
        whole = self.optimise(tmp_path)
        monkeypatch.setattr(label_optimization, "compare_mated_pairs", None)
        assert np.array_equal(self.optimise(tmp_path).quality, whole.quality)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("theta", 0.2),
            ("seed", 1),
            ("variant", "paper"),
            ("index_scale", "samples"),
            ("quality", np.arange(80.0)),
            ("embeddings", np.ones((80, 32), np.float16)),
            ("identity", np.arange(80) % 2),
        ],
    )
    def test_progress_of_something_else_is_refused(self, tmp_path, name, value):
        self.optimise(tmp_path)
        with pytest.raises(ResultsError, match=f"others for {name}; use the same"):
            self.optimise(tmp_path, **{name: value})


def test_progress_is_told():
    quality, embeddings, identity = draw([5, 5])
    seen: list[tuple[str, int, int]] = []
    optimise_labels(
        quality,
        embeddings,
        identity,
        repeats=2,
        on_progress=lambda *progress: seen.append(progress),
    )
    assert seen == [("clusters", 2, 2), ("repeats", 0, 2), ("repeats", 1, 2), ("repeats", 2, 2)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clusters": 1}, "clusters from 2 to 65535, got 1"),
        ({"theta": -0.1}, "theta from 0 to 1, got -0.1"),
        ({"theta": float("nan")}, "theta from 0 to 1, got nan"),
        ({"repeats": 0}, "repeats of 1 or more, got 0"),
        ({"seed": -1}, "seed from 0"),
        ({"variant": "other"}, "variant official or paper, got 'other'"),
        ({"index_scale": "none"}, "index_scale pairs or samples, got 'none'"),
        ({"threads": 0}, "threads of 1 or more, got 0"),
    ],
)
def test_wrong_settings_are_refused(changed, message):
    with pytest.raises(InvalidArgumentError, match=message):
        optimise_labels(*draw([5, 5]), **changed)


def test_wrong_data_are_refused():
    quality, embeddings, identity = draw([5, 5])
    unknown = quality.copy()
    unknown[[3, 7]] = np.nan
    for arguments, message in (
        ((unknown, embeddings, identity), "finite quality labels, got nan for row 3, row 7"),
        ((quality[:9], embeddings, identity), "quality and embeddings of one length, got 9 and 10"),
        ((quality[:, None], embeddings, identity), r"quality of shape \[S\], S > 0"),
        ((quality, embeddings, identity[:9]), "identity and embeddings of one length"),
        ((quality, embeddings, np.arange(10)), "identities with two or more images, got 10 with"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            optimise_labels(*arguments)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "pairs of one repeat or more, got none"),
        ([np.array([0, 1])], r"pairs of shape \[P, 2\], got \[2\]"),
        ([np.array([[0, 10]])], "positions from 0 to 9"),
        ([np.array([[0, 1], [2, 2]])], "an image with itself in pair 1"),
        ([np.array([[0.0, 1.0]])], "integers of shape"),
    ],
)
def test_wrong_pairs_are_refused(pairs, message):
    quality, embeddings, _ = draw([5, 5])
    with pytest.raises(InvalidArgumentError, match=message):
        optimise_with_pairs(quality, embeddings, pairs)


def test_copies_of_one_image_have_no_pairs():
    """All images of a person in one cluster: nothing to learn, and no warning of an empty mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimised = optimise_labels(
            np.arange(6.0)[::-1], np.ones((6, 4), np.float32), np.zeros(6, int)
        )
    assert optimised.pair_counts == (0,) * 10
    assert optimised.quality.tolist() == [5, 4, 3, 2, 1, 0]
