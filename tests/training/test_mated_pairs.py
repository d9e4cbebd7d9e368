import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiqa_fast import _extension
from fiqa_fast.training.identity_images import group_by_identity
from fiqa_fast.training.mated_pairs import (
    compare_mated_pairs,
    compare_reference,
    credit_pairs,
    draw_pairs,
)

CLUSTERS = 7


def draw(sizes, seed=0, dtype=np.float32, dimensions=24):
    rng = np.random.default_rng(seed)
    identity = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    embeddings = rng.standard_normal((len(identity), dimensions)).astype(dtype)
    cluster = rng.integers(0, CLUSTERS, len(identity)).astype(np.uint16)
    rank = rng.permutation(len(identity)).astype(np.uint32)
    return group_by_identity(embeddings, identity), identity, cluster, rank


def test_every_image_meets_each_other_cluster_of_its_identity_once():
    images, identity, cluster, _ = draw([1, 2, 30, 60])
    pairs = draw_pairs(images, cluster, CLUSTERS, seed=1, repeat=2)
    a, b = pairs.T
    np.testing.assert_array_equal(identity[a], identity[b])
    met = {(int(i), int(cluster[j])) for i, j in pairs}
    expected = {
        (i, int(c))
        for i in range(len(identity))
        for c in np.unique(cluster[identity == identity[i]])
        if c != cluster[i]
    }
    assert met == expected
    assert len(pairs) == len(expected)


def test_partners_are_uniform_and_independent_of_the_repeat():
    identity = np.zeros(9, int)
    images = group_by_identity(np.eye(9, dtype=np.float32), identity)
    cluster = np.array([0, 1, 1, 1, 1, 1, 1, 1, 1], np.uint16)
    partners = np.array(
        [draw_pairs(images, cluster, 2, seed=0, repeat=r)[0, 1] for r in range(4000)]
    )
    counts = np.bincount(partners, minlength=9)[1:]
    assert ((counts - 500) ** 2 / 500).sum() < 24.3  # chi-squared, 7 degrees: p = .001
    together = np.histogram2d(partners[:-1], partners[1:], bins=8)[0]
    assert ((together - 62.5) ** 2 / 62.5).sum() < 103.4  # 63 degrees: p = .001


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    seed=st.integers(0, 2**63 - 1),
    repeat=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float16]),
    dimensions=st.sampled_from([1, 15, 16, 17, 64]),
    threads=st.integers(1, 3),
)
def test_compiled_equals_reference(sizes, seed, repeat, dtype, dimensions, threads):
    assert _extension.host is not None
    images, _, cluster, rank = draw(sizes, dtype=dtype, dimensions=dimensions)
    cosines, credited = compare_mated_pairs(
        images, cluster, CLUSTERS, rank, seed=seed, repeat=repeat, threads=threads
    )
    expected, expected_credit = compare_reference(images, cluster, CLUSTERS, rank, seed, repeat)
    np.testing.assert_array_equal(credited, expected_credit)
    np.testing.assert_allclose(cosines, expected, atol=5e-7)


def test_cosines_are_those_of_float64():
    images, _, cluster, rank = draw([80], dimensions=512)
    cosines, _ = compare_mated_pairs(images, cluster, CLUSTERS, rank, seed=0, repeat=0)
    a, b = draw_pairs(images, cluster, CLUSTERS, seed=0, repeat=0).T
    wide = images.embeddings.astype(np.float64) / images.norms[:, None]
    np.testing.assert_allclose(cosines, (wide[a] * wide[b]).sum(1), atol=2e-7)


def test_half_precision_is_read_exactly():
    """Every finite float16 as the first of two numbers: subnormal ones, both signs."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)]
    embeddings = np.stack([values, np.full_like(values, 0.01)], 1)
    count = len(values)
    images = group_by_identity(embeddings, np.arange(count) // 2)
    cluster = (np.arange(count) % 2).astype(np.uint16)
    rank = np.arange(count, dtype=np.uint32)
    cosines, _ = compare_mated_pairs(images, cluster, 2, rank, seed=0, repeat=0)
    wide = embeddings.astype(np.float64) / images.norms[:, None]
    np.testing.assert_allclose(cosines[::2], (wide[::2] * wide[1::2]).sum(1), atol=3e-7)


def test_threads_and_other_images_do_not_change_a_bit():
    images, identity, cluster, rank = draw([100, 50, 70])
    one = compare_mated_pairs(images, cluster, CLUSTERS, rank, seed=3, repeat=1, threads=1)
    four = compare_mated_pairs(images, cluster, CLUSTERS, rank, seed=3, repeat=1, threads=4)
    np.testing.assert_array_equal(one, four)
    kept = np.sort(np.flatnonzero(identity > 0))
    assert np.array_equal(
        images.rows[images.begins[1] :], np.lexsort((np.arange(220), identity))[100:]
    )
    # The draws of an identity hang on its images' positions, not on what else is there.
    pairs = draw_pairs(images, cluster, CLUSTERS, seed=3, repeat=1)
    changed = cluster.copy()
    changed[identity == 0] = 0
    others = draw_pairs(images, changed, CLUSTERS, seed=3, repeat=1)
    np.testing.assert_array_equal(pairs[np.isin(pairs[:, 0], kept)], others)


def test_a_pair_and_its_mirror_have_the_same_cosine():
    images, _, _, rank = draw([60], dimensions=100)
    cluster = (np.arange(60) % 2).astype(np.uint16)
    found: dict[tuple[int, int], float] = {}
    for repeat in range(40):
        pairs = draw_pairs(images, cluster, 2, seed=0, repeat=repeat)
        cosines, _ = compare_mated_pairs(images, cluster, 2, rank, seed=0, repeat=repeat)
        found.update({(int(a), int(b)): float(c) for (a, b), c in zip(pairs, cosines, strict=True)})
    mirrored = [pair for pair in found if pair[::-1] in found]
    assert len(mirrored) > 100
    assert all(found[pair] == found[pair[::-1]] for pair in mirrored)


def test_credit_goes_to_the_lower_quality():
    pairs = np.array([[0, 1], [1, 0], [2, 1]])
    assert credit_pairs(pairs, np.array([5, 1, 3], np.uint32)).tolist() == [1, 1, 1]


def test_embeddings_may_be_a_map_with_wider_rows(tmp_path):
    images, identity, cluster, rank = draw([40, 20], dtype=np.float16, dimensions=24)
    wide = np.memmap(tmp_path / "rows", np.float16, "w+", shape=(60, 32))
    wide[:, :24] = images.embeddings
    mapped = group_by_identity(wide[:, :24], identity)
    np.testing.assert_array_equal(
        compare_mated_pairs(mapped, cluster, CLUSTERS, rank, seed=0, repeat=0),
        compare_mated_pairs(images, cluster, CLUSTERS, rank, seed=0, repeat=0),
    )


def test_compiled_code_refuses_what_would_leave_memory():
    images, _, cluster, rank = draw([4, 4])

    def call(embeddings=images.embeddings, labels=cluster, ranks=rank, rows=images.rows):
        _extension.host.compare_mated_pairs(
            embeddings, images.inverse_norm, rows, images.begins, labels, CLUSTERS, ranks, 0, 1, 0
        )

    call()
    for wrong in (
        {"labels": cluster + np.uint16(CLUSTERS)},
        {"labels": cluster[:3]},
        {"ranks": rank[:3]},
        {"rows": images.rows + 1},
        {"embeddings": images.embeddings[:, ::2]},
        {"embeddings": images.embeddings[:5]},
    ):
        with pytest.raises(ValueError, match="compare_mated_pairs: expected"):
            call(**wrong)
    with pytest.raises(TypeError, match="float16 or float32, got float64"):
        call(embeddings=images.embeddings.astype(np.float64))
