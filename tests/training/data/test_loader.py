from dataclasses import replace

import numpy as np
import pytest
import torch

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.training.data.augment import Augmentation
from fiqa_fast.training.data.crops import read_crop
from fiqa_fast.training.data.loader import LoaderState, TrainingLoader
from fiqa_fast.training.data.order import SampleOrder

AUGMENTATION = Augmentation(degraded_fraction=0.5)


@pytest.fixture
def faces(memory_set):
    return memory_set([0, 0, 1, 1, 2, 2, 2, 3, 3, 4])


def everything(batches):
    return [
        (b.images.numpy().tobytes(), b.identity.tolist(), b.positions.tolist()) for b in batches
    ]


def test_a_batch_has_images_identities_labels_and_positions(faces):
    labels = np.linspace(0, 1, 10)
    loader = TrainingLoader(faces, SampleOrder(10, 4, seed=1), labels=labels, threads=1)
    batches = list(loader)
    assert len(batches) == 2
    for batch in batches:
        assert (batch.images.dtype, list(batch.images.shape)) == (torch.uint8, [4, 3, 112, 112])
        assert batch.images.is_contiguous()
        assert (batch.identity.dtype, batch.positions.dtype) == (torch.int64, torch.int64)
        positions = batch.positions.numpy()
        assert batch.identity.tolist() == faces.identity[positions].tolist()
        assert batch.labels.dtype == torch.float32
        assert batch.labels.tolist() == labels[positions].astype(np.float32).tolist()
        for image, position in zip(batch.images, positions, strict=True):
            expected = read_crop(faces, int(position)).transpose(2, 0, 1)
            assert np.array_equal(image.numpy(), expected)


def test_without_labels_there_are_none(faces):
    batch = next(iter(TrainingLoader(faces, SampleOrder(10, 2), threads=1)))
    assert batch.labels is None


def test_threads_change_nothing(faces):
    order = SampleOrder(10, 2, seed=4)
    one, three = (
        TrainingLoader(faces, order, augmentation=AUGMENTATION, threads=n) for n in (1, 3)
    )
    assert everything(one) == everything(three)


def test_two_processes_see_the_batches_of_one(faces):
    order = SampleOrder(10, 4, seed=2, last_batch="repeat")
    alone = list(TrainingLoader(faces, order, augmentation=AUGMENTATION, threads=1))
    parts = [
        TrainingLoader(
            faces, replace(order, world_size=2, rank=r), augmentation=AUGMENTATION, threads=1
        )
        for r in range(2)
    ]
    for whole, a, b in zip(alone, *parts, strict=True):
        assert torch.equal(torch.cat([a.images, b.images]), whole.images)
        assert torch.equal(torch.cat([a.positions, b.positions]), whole.positions)


def test_a_checkpoint_in_mid_epoch_goes_on_with_the_next_batch(faces):
    order = SampleOrder(10, 3, seed=7)

    def make():
        return TrainingLoader(faces, order, augmentation=AUGMENTATION, threads=2)

    unbroken, whole, states = make(), [], []
    while unbroken.state.epoch < 2:
        for batch in unbroken:
            whole += everything([batch])
            states.append(unbroken.state)
    assert [(s.epoch, s.step) for s in states] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    for done, state in enumerate(states[:-1], start=1):
        resumed, rest = make(), []
        resumed.state = state
        while resumed.state.epoch < 2:
            rest += everything(resumed)
        assert rest == whole[done:]


def test_leaving_the_loop_keeps_the_place(faces):
    loader = TrainingLoader(faces, SampleOrder(10, 2, seed=3), threads=1)
    expected = everything(TrainingLoader(faces, SampleOrder(10, 2, seed=3), threads=1))
    first = []
    for batch in loader:
        first += everything([batch])
        if loader.state.step == 2:
            break
    assert first + everything(loader) == expected


def test_a_state_of_another_order_is_refused(faces):
    loader = TrainingLoader(faces, SampleOrder(10, 2, seed=3), threads=1)
    other = TrainingLoader(faces, SampleOrder(10, 2, seed=4), threads=1)
    with pytest.raises(InvalidArgumentError, match="seed or excluded samples changed"):
        loader.state = other.state
    for epoch, step in ((0, 5), (-1, 0), (0, -1)):
        with pytest.raises(InvalidArgumentError, match="a step below 5"):
            loader.state = LoaderState(epoch, step, loader.state.order)


def test_an_unreadable_image_is_named(memory_set, jpeg):
    training_set = memory_set([0, 0, 1], images=[jpeg(0), jpeg(1)[:-50], jpeg(2)])
    with pytest.raises(ImageError, match=r"faces: 001\.jpg: .*truncated.* \(position 1\)"):
        list(TrainingLoader(training_set, SampleOrder(3, 1), threads=1))
    order = SampleOrder(3, 1, excluded=frozenset({1}))
    shown = [int(b.positions[0]) for b in TrainingLoader(training_set, order, threads=1)]
    assert sorted(shown) == [0, 2]


def test_other_sizes_may_be_refused(memory_set, jpeg):
    training_set = memory_set([0], images=[jpeg(0, (100, 100))])
    assert len(list(TrainingLoader(training_set, SampleOrder(1, 1), threads=1))) == 1
    with pytest.raises(ImageError, match="got 100 x 100"):
        list(TrainingLoader(training_set, SampleOrder(1, 1), other_sizes="refuse", threads=1))


def test_arguments_that_do_not_fit_the_set(faces):
    with pytest.raises(InvalidArgumentError, match=r"the 10 samples of faces, got one of 9"):
        TrainingLoader(faces, SampleOrder(9, 2))
    with pytest.raises(InvalidArgumentError, match=r"each of the 10 samples"):
        TrainingLoader(faces, SampleOrder(10, 2), labels=np.zeros(9))
