import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiqa_fast import _extension
from fiqa_fast.training.identity_clusters import cluster_identities, cluster_reference
from fiqa_fast.training.identity_images import IdentityImages, group_by_identity

FIRST_CENTRES = ["k-means++", "random"]


def draw(sizes: list[int], dimensions: int = 40, seed: int = 0, dtype: type = np.float32):
    """Persons whose images differ in a few directions, so that iterations have work to do."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(len(sizes)), sizes)
    poses = rng.standard_normal((len(identity), 4)) @ rng.standard_normal((4, dimensions))
    centres = 2 * rng.standard_normal((len(sizes), dimensions))[identity]
    noise = 0.2 * rng.standard_normal((len(identity), dimensions))
    return (centres + poses + noise).astype(dtype), identity


def images_of(sizes: list[int], **options: object) -> IdentityImages:
    return group_by_identity(*draw(sizes, **options))


def inertia(units: np.ndarray, labels: np.ndarray) -> float:
    wide = units.astype(np.float64)
    return sum(
        ((wide[labels == c] - wide[labels == c].mean(0)) ** 2).sum() for c in np.unique(labels)
    )


@pytest.mark.parametrize("first_centres", FIRST_CENTRES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dimensions", [3, 16, 40])
def test_compiled_equals_reference(first_centres, dtype, dimensions):
    assert _extension.host is not None
    sizes = [1, 2, 7, 8, 9, 50, 131]
    images = images_of(sizes, dtype=dtype, dimensions=dimensions)
    labels = cluster_identities(images, 6, first_centres, seed=2**62 + 5)
    for person in range(len(sizes)):
        rows = images.rows[images.begins[person] : images.begins[person + 1]]
        expected = cluster_reference(images.unit_rows(rows), 6, first_centres, 2**62 + 5, person)
        np.testing.assert_array_equal(labels[rows], expected)


@pytest.mark.parametrize("first_centres", FIRST_CENTRES)
def test_many_clusters_equal_the_reference(first_centres):
    images = images_of([150])
    labels = cluster_identities(images, 70, first_centres)  # more than a tile of centres
    expected = cluster_reference(images.unit_rows(images.rows), 70, first_centres, 0, 0)
    np.testing.assert_array_equal(labels, expected)
    assert len(np.unique(labels)) == 70


@pytest.mark.parametrize("first_centres", FIRST_CENTRES)
def test_the_reference_runs_without_compiled_code(first_centres, monkeypatch):
    images = images_of([5, 30, 1])
    compiled = cluster_identities(images, 4, first_centres)
    monkeypatch.setattr(_extension, "host", None)
    np.testing.assert_array_equal(cluster_identities(images, 4, first_centres), compiled)


def test_every_image_is_nearest_to_its_own_centre():
    images = images_of([120])
    labels = cluster_identities(images, 8, "k-means++")
    units = images.unit_rows(images.rows).astype(np.float64)
    centres = np.stack([units[labels == c].mean(0) for c in range(8)])
    distances = ((units[:, None] - centres) ** 2).sum(-1)
    np.testing.assert_array_equal(distances.argmin(1), labels)


def test_clusters_are_as_tight_as_those_of_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster")
    images = images_of([200, 300])
    labels = cluster_identities(images, 20, "k-means++")
    for first, end in ((0, 200), (200, 500)):
        units = images.unit_rows(np.arange(first, end))
        theirs = [cluster.KMeans(20, n_init=1, random_state=s).fit(units) for s in range(5)]
        ours = inertia(units, labels[first:end])
        assert ours < 1.05 * np.mean([t.inertia_ for t in theirs])


@pytest.mark.parametrize("first_centres", FIRST_CENTRES)
def test_fewer_images_than_clusters_get_one_each(first_centres):
    images = images_of([1, 3, 20])
    labels = cluster_identities(images, 20, first_centres)
    assert labels[0] == 0
    assert sorted(labels[1:4]) == [0, 1, 2]
    assert sorted(labels[4:]) == list(range(20))


@pytest.mark.parametrize("first_centres", FIRST_CENTRES)
def test_copies_of_an_image_share_a_cluster(first_centres):
    embeddings, _ = draw([4])
    embeddings = np.repeat(embeddings, 5, axis=0)
    labels = cluster_identities(group_by_identity(embeddings, np.zeros(20, int)), 10, first_centres)
    assert [len(np.unique(group)) for group in labels.reshape(4, 5)] == [1] * 4
    assert len(np.unique(labels)) == 4


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    clusters=st.integers(2, 9),
    seed=st.integers(0, 2**63 - 1),
    threads=st.integers(2, 4),
    first_centres=st.sampled_from(FIRST_CENTRES),
)
def test_neither_threads_nor_other_identities_change_anything(
    sizes, clusters, seed, threads, first_centres
):
    embeddings, identity = draw(sizes)
    images = group_by_identity(embeddings, identity)
    labels = cluster_identities(images, clusters, first_centres, seed=seed, threads=1)
    again = cluster_identities(images, clusters, first_centres, seed=seed, threads=threads)
    np.testing.assert_array_equal(labels, again)
    alone = group_by_identity(embeddings[identity == 0], np.zeros(sizes[0], int))
    alone_labels = cluster_identities(alone, clusters, first_centres, seed=seed)
    np.testing.assert_array_equal(labels[identity == 0], alone_labels)


def test_another_seed_begins_elsewhere():
    images = images_of([200])
    one, two = (cluster_identities(images, 10, "random", seed=s) for s in (0, 1))
    assert not np.array_equal(one, two)


def test_progress_is_told():
    seen: list[int] = []
    cluster_identities(images_of([3, 4, 5]), 2, "random", on_progress=seen.append)
    assert seen == [3]


def test_compiled_code_refuses_what_would_leave_memory():
    images = images_of([4, 4])
    persons = np.arange(2, dtype=np.uint64)

    def call(rows=images.rows, begins=images.begins, clusters=3, inverse=images.inverse_norm):
        _extension.host.cluster_identities(
            images.embeddings, inverse, rows, begins, persons, clusters, True, 0, 1, 10
        )

    call()
    for wrong in (
        {"rows": images.rows + 1},
        {"rows": images.rows - 1},
        {"begins": np.array([0, 4, 9])},
        {"begins": np.array([0, 9, 8])},
        {"begins": np.array([0, 8])},
        {"clusters": 0},
        {"clusters": 65536},
        {"inverse": images.inverse_norm[:3]},
    ):
        with pytest.raises(ValueError, match="cluster_identities: expected"):
            call(**wrong)
