import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.ladder.degradations import LEVELS, degrade
from fiqa_fast.training.data.augment import Augmentation

CROPS = np.random.default_rng(0).integers(0, 256, (12, 112, 112, 3), np.uint8)
STRONG = Augmentation(flip_fraction=0.5, degraded_fraction=0.7)


def applied(augmentation, positions, *, seed=3, epoch=1, size=112):
    crops = CROPS[positions % len(CROPS), :size, :size].copy()
    augmentation.apply(crops, positions, seed=seed, epoch=epoch)
    return crops


@given(
    positions=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=6),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 1000),
)
def test_a_crop_does_not_depend_on_its_batch(positions, seed, epoch):
    positions = np.array(positions, np.int64)
    together = applied(STRONG, positions, seed=seed, epoch=epoch)
    for i in range(len(positions)):
        alone = applied(STRONG, positions[i : i + 1], seed=seed, epoch=epoch)
        assert np.array_equal(alone[0], together[i])


def flips(*, seed, epoch, fraction=0.5, count=4000):
    crops = np.zeros((count, 1, 2, 3), np.uint8)
    crops[:, :, 1] = 1
    augmentation = Augmentation(flip_fraction=fraction)
    augmentation.apply(crops, np.arange(count), seed=seed, epoch=epoch)
    return crops[:, 0, 0, 0] == 1


def test_flips_are_as_frequent_as_asked_and_differ():
    drawn = [flips(seed=0, epoch=0), flips(seed=0, epoch=1), flips(seed=1, epoch=0)]
    for i, a in enumerate(drawn):
        assert abs(a.mean() - 0.5) < 0.04
        for b in drawn[:i]:
            assert abs(np.mean(a == b) - 0.5) < 0.04
    assert abs(flips(seed=0, epoch=0, fraction=0.1).mean() - 0.1) < 0.03
    assert not flips(seed=0, epoch=0, fraction=0.0).any()
    assert flips(seed=0, epoch=0, fraction=1.0).all()


def test_a_flip_mirrors_left_to_right():
    found = applied(Augmentation(flip_fraction=1.0), np.arange(3))
    assert np.array_equal(found, CROPS[:3, :, ::-1])


def test_degradations_are_those_of_the_ladder():
    augmentation = Augmentation(0.0, 1.0, ("noise", "blur"), (2, 4))
    found = applied(augmentation, np.arange(12))
    seen = set()
    for position, crop in enumerate(found):
        rungs = [
            (name, level)
            for name in ("noise", "blur")
            for level in (2, 4)
            if np.array_equal(crop, degrade(CROPS[position], name, level, photo=f"3/1/{position}"))
        ]
        assert len(rungs) == 1
        seen |= set(rungs)
    assert len(seen) == 4


def test_every_degradation_and_level_is_drawn(monkeypatch):
    drawn = []

    def remember(crop, degradation, level, *, photo):
        drawn.append((degradation, level))
        return crop

    monkeypatch.setattr("fiqa_fast.training.data.augment.degrade", remember)
    crops = np.zeros((3000, 1, 2, 3), np.uint8)
    Augmentation(degraded_fraction=0.5).apply(crops, np.arange(3000), seed=0, epoch=0)
    assert abs(len(drawn) / 3000 - 0.5) < 0.05
    counts = [drawn.count((name, level)) for name in LEVELS for level in range(1, 6)]
    assert min(counts) > 20
    assert max(counts) < 90


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"flip_fraction": 1.5}, "flip_fraction from 0 to 1, got 1.5"),
        ({"degraded_fraction": float("nan")}, "degraded_fraction from 0 to 1, got nan"),
        ({"degradations": ("blur", "fog")}, "got fog"),
        ({"degradations": ()}, "got none"),
        ({"levels": (0,)}, "levels from 1 to 5"),
        ({"levels": ()}, "levels from 1 to 5"),
    ],
)
def test_wrong_augmentations(options, said):
    with pytest.raises(InvalidArgumentError, match=said):
        Augmentation(**options)
