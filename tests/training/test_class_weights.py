import threading

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.class_weights import ClassWeights
from fiqa_fast.training.communicator import Communicator
from fiqa_fast.training.losses import MARGINS, ArcFace, SampleFacts

C, D, B = 31, 8, 12


class Meeting:
    """Where threads that stand for processes hand their tensors over."""

    def __init__(self, world_size):
        self.barrier = threading.Barrier(world_size, timeout=20)
        self.table = [None] * world_size


class ThreadCommunicator(Communicator):
    def __init__(self, meeting, rank):
        self.meeting, self.rank, self.world_size = meeting, rank, len(meeting.table)

    def all_gather(self, values):
        self.meeting.table[self.rank] = values.detach().clone()
        self.meeting.barrier.wait()
        gathered = list(self.meeting.table)
        self.meeting.barrier.wait()
        return gathered

    def all_sum(self, values):
        return torch.stack(self.all_gather(values)).sum(0)

    def all_max(self, values):
        return torch.stack(self.all_gather(values)).amax(0)


def on_ranks(world_size, work):
    """Runs work(communicator) on a thread for each rank; the results by rank."""
    meeting, results, errors = Meeting(world_size), [None] * world_size, [None] * world_size

    def run(rank):
        try:
            results[rank] = work(ThreadCommunicator(meeting, rank))
        except Exception as error:
            errors[rank] = error
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        if error is not None and not isinstance(error, threading.BrokenBarrierError):
            raise error
    return results


def draw(seed=0, dtype=torch.float64, batch=B):
    generator = torch.Generator().manual_seed(seed)
    embeddings = 20 * torch.randn(batch, D, generator=generator, dtype=dtype)
    return embeddings, torch.randint(C, (batch,), generator=generator)


def train(world_size, name, embeddings, labels, *, steps=1, **options):
    """Loss, CCS, NNCCS, gradients of embeddings, and weights after SGD, of all ranks together."""

    def work(communicator):
        weights = ClassWeights(
            C, D, MARGINS[name](), communicator=communicator, dtype=embeddings.dtype, **options
        )
        sgd = torch.optim.SGD(weights.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
        share = len(labels) // world_size
        mine = slice(communicator.rank * share, (communicator.rank + 1) * share)
        for step in range(steps):
            own = embeddings[mine].clone().requires_grad_()
            result = weights(own, labels[mine], step=step)
            sgd.zero_grad()
            result.loss.backward()
            sgd.step()
        return result, own.grad, weights.gather_weights()

    ranks = on_ranks(world_size, work)
    for result, _, weights in ranks:
        assert torch.equal(result.loss, ranks[0][0].loss)
        assert torch.equal(weights, ranks[0][2])
    return (
        ranks[0][0].loss.detach(),
        torch.cat([r.ccs for r, _, _ in ranks]),
        torch.cat([r.nnccs for r, _, _ in ranks]),
        torch.cat([g for _, g, _ in ranks]),
        ranks[0][2],
    )


def assert_close(found, expected, **tolerances):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **tolerances)


@pytest.mark.parametrize("name", list(MARGINS))
def test_equals_a_cross_entropy_over_the_whole_matrix(name):
    embeddings, labels = draw()
    weights = ClassWeights(C, D, MARGINS[name](), dtype=torch.float64, block=5)
    own = embeddings.clone().requires_grad_()
    result = weights(own, labels, step=3)
    found = torch.autograd.grad(result.loss, [own, weights.weight])

    cosines = F.normalize(own) @ F.normalize(weights.weight).T
    facts = SampleFacts(step=3, magnitudes=own.norm(dim=1))
    margin = MARGINS[name]()
    loss = F.cross_entropy(margin(cosines, labels, facts), labels)
    if margin.regulariser(facts) is not None:
        loss = loss + margin.regulariser(facts).mean()
    torch.testing.assert_close(result.loss, loss)
    expected = torch.autograd.grad(loss, [own, weights.weight])
    assert_close([g.to_dense() for g in found], expected, rtol=1e-9, atol=1e-12)

    cosines = cosines.detach()
    torch.testing.assert_close(result.ccs, cosines[torch.arange(B), labels])
    cosines[torch.arange(B), labels] = -9
    torch.testing.assert_close(result.nnccs, cosines.amax(1))
    assert not result.ccs.requires_grad
    assert not result.nnccs.requires_grad


@pytest.mark.parametrize("name", list(MARGINS))
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_any_number_of_shards_gives_the_same_training(name, world_size):
    embeddings, labels = draw()
    expected = train(1, name, embeddings, labels, steps=3)
    found = train(
        world_size, name, embeddings, labels, steps=3, gradients_are_averaged=False, block=4
    )
    assert_close(found, expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(2, 4), st.sampled_from([0.4, 0.8]), st.booleans())
def test_sampling_does_not_depend_on_the_number_of_shards(seed, world_size, rate, exact):
    embeddings, labels = draw(seed)
    options = {"sample_rate": rate, "exact_nnccs": exact, "seed": seed}
    expected = train(1, "arcface", embeddings, labels, steps=3, **options)
    found = train(
        world_size, "arcface", embeddings, labels, steps=3, gradients_are_averaged=False, **options
    )
    assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_averaged_gradients_are_multiplied_by_the_number_of_processes():
    embeddings, labels = draw()
    plain = train(3, "magface", embeddings, labels, gradients_are_averaged=False)
    averaged = train(3, "magface", embeddings, labels)
    torch.testing.assert_close(averaged[3], 3 * plain[3])
    torch.testing.assert_close(averaged[4], plain[4])


@given(st.integers(0, 2**31))
def test_order_of_samples_does_not_matter(seed):
    embeddings, labels = draw(seed)
    order = torch.randperm(B, generator=torch.Generator().manual_seed(seed))
    first = train(1, "curricularface", embeddings, labels)
    second = train(1, "curricularface", embeddings[order], labels[order])
    expected = (first[0], *(values[order] for values in first[1:4]), first[4])
    assert_close(second, expected, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 2**31))
def test_order_of_classes_does_not_matter(seed):
    embeddings, labels = draw(seed)
    order = torch.randperm(C, generator=torch.Generator().manual_seed(seed))
    first = ClassWeights(C, D, ArcFace(), dtype=torch.float64)
    second = ClassWeights(C, D, ArcFace(), dtype=torch.float64)
    second.take_weights(first.gather_weights()[order])
    a = first(embeddings, labels, step=0)
    b = second(embeddings, torch.argsort(order)[labels], step=0)
    assert_close((b.loss, b.ccs, b.nnccs), (a.loss, a.ccs, a.nnccs))


def test_sampled_softmax_has_the_classes_of_the_batch_and_no_gradient_for_others():
    embeddings, labels = draw()
    weights = ClassWeights(C, D, ArcFace(), dtype=torch.float64, sample_rate=0.3, seed=1)
    whole = ClassWeights(C, D, ArcFace(), dtype=torch.float64, seed=1)
    result, all_classes = weights(embeddings, labels, step=0), whole(embeddings, labels, step=0)
    assert result.loss < all_classes.loss
    torch.testing.assert_close(result.ccs, all_classes.ccs)
    assert (result.nnccs <= all_classes.nnccs + 1e-12).all()
    assert (result.nnccs < all_classes.nnccs - 1e-6).any()
    weights.exact_nnccs = True
    torch.testing.assert_close(weights(embeddings, labels, step=0).nnccs, all_classes.nnccs)
    result.loss.backward()
    moved = weights.weight.grad.norm(dim=1) > 0
    assert moved[labels].all()
    assert 0.1 * C < moved.sum() < 0.9 * C


def test_measure_is_what_training_sees():
    embeddings, labels = draw()
    weights = ClassWeights(C, D, ArcFace(), dtype=torch.float64)
    result = weights(embeddings, labels, step=0)
    ccs, nnccs = weights.measure(embeddings, labels)
    assert torch.equal(ccs, result.ccs)
    torch.testing.assert_close(nnccs, result.nnccs)


def test_float32_and_narrower_embeddings_under_autocast():
    embeddings, labels = draw(dtype=torch.float32)
    weights = ClassWeights(C, D, ArcFace())
    expected = weights(embeddings, labels, step=0)
    with torch.autocast("cpu", torch.bfloat16):
        found = weights(embeddings, labels, step=0)
        found.loss.backward()
    assert torch.equal(found.loss, expected.loss)
    assert weights.weight.grad.dtype == torch.float32
    low = embeddings.bfloat16().requires_grad_()
    result = weights(low, labels, step=0)
    result.loss.backward()
    torch.testing.assert_close(result.loss, weights(low.float(), labels, step=0).loss)
    assert low.grad.dtype == torch.bfloat16


def test_repeats_to_the_bit():
    embeddings, labels = draw(dtype=torch.float32)
    labels[:6] = labels[0]  # gradients of one class are added
    first = train(2, "elastic-arcface", embeddings, labels, steps=4, sample_rate=0.7)
    second = train(2, "elastic-arcface", embeddings, labels, steps=4, sample_rate=0.7)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_first_weights_depend_on_seed_and_class_only():
    def weights(world_size, seed):
        return on_ranks(
            world_size,
            lambda c: ClassWeights(C, D, ArcFace(), seed=seed, communicator=c).gather_weights(),
        )[0]

    first = weights(1, 0)
    assert torch.equal(weights(4, 0), first)
    assert not torch.equal(weights(1, 1), first)
    assert float(first.std()) == pytest.approx(0.01, rel=0.2)


def test_state_travels():
    weights = ClassWeights(C, D, MARGINS["curricularface"](), seed=1)
    embeddings, labels = draw(dtype=torch.float32)
    weights(embeddings, labels, step=0)
    other = ClassWeights(C, D, MARGINS["curricularface"](), seed=2)
    other.load_state_dict(weights.state_dict())
    assert set(weights.state_dict()) == {"weight", "margin.t"}
    a, b = weights(embeddings, labels, step=1), other(embeddings, labels, step=1)
    assert torch.equal(a.loss, b.loss)
    with pytest.raises(InvalidArgumentError, match=r"weights of shape \[31, 8\], got \[30, 8\]"):
        other.take_weights(torch.zeros(30, 8))


@pytest.mark.parametrize("rank_of_error", [0, 1])
def test_every_rank_sees_the_same_error(rank_of_error):
    embeddings, labels = draw()

    def work(communicator):
        weights = ClassWeights(C, D, ArcFace(), communicator=communicator, dtype=torch.float64)
        broken = embeddings.clone()
        if communicator.rank == rank_of_error:
            broken[[2, 5], 1] = torch.nan
        with pytest.raises(InvalidArgumentError) as found:
            weights(broken, labels, step=0)
        return str(found.value)

    messages = on_ranks(2, work)
    assert messages[0] == messages[1]
    assert f"nan at position 2 of rank {rank_of_error}" in messages[0]
    assert f"nan at position 5 of rank {rank_of_error}" in messages[0]


def test_refuses_batches_of_different_sizes_on_every_rank():
    embeddings, labels = draw()

    def work(communicator):
        weights = ClassWeights(C, D, ArcFace(), communicator=communicator, dtype=torch.float64)
        count = B - communicator.rank
        with pytest.raises(InvalidArgumentError, match=r"got .* \(12, 8, 12\), \(11, 8, 11\)"):
            weights(embeddings[:count], labels[:count], step=0)

    on_ranks(2, work)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, y: (e, y.where(y != y[3], 31)), "labels from 0 to 30, got 31 at position 3"),
        (lambda e, y: (e, y - 100), "more"),
        (lambda e, y: (e * 0, y), "got lengths 0 at position 0 of rank 0.*, 7 more"),
        (lambda e, y: (e / 0, y), "lengths inf"),
        (lambda e, y: (e.double(), y), "or narrower, got .* torch.float64"),
        (lambda e, y: (e.long(), y), "got .* torch.int64"),
        (lambda e, y: (e[0], y), r"got \[8\]"),
        (lambda e, y: (e, y.float()), "labels of shape .* got .* torch.float32"),
        (lambda e, y: (e, y.int()), "dtype torch.int64, got .* torch.int32"),
        (lambda e, y: (e, y[:, None]), r"labels of shape \[B\]"),
        (lambda e, y: (e[:, :5], y), r"embeddings of shape \[B, 8\]"),
        (lambda e, y: (e, y[:-1]), "same B on all processes and for labels"),
        (lambda e, y: (e[:0], y[:0]), "same B"),
    ],
)
def test_refuses_wrong_batches(change, message):
    embeddings, labels = draw(dtype=torch.float32)
    with pytest.raises(InvalidArgumentError, match=message):
        ClassWeights(C, D, ArcFace())(*change(embeddings, labels), step=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample_rate above 0"),
        ({"sample_rate": 1.1}, "sample_rate above 0"),
        ({"dtype": torch.bfloat16}, "dtype torch.float32 or torch.float64"),
        ({"block": 0}, "block of 1 or more"),
        ({"seed": -1}, "seed from 0"),
        ({"classes": 1}, "at least 2 classes"),
        ({"dimensions": 0}, "dimensions"),
    ],
)
def test_refuses_wrong_options(options, message):
    arguments = {"classes": C, "dimensions": D, "margin": ArcFace(), **options}
    with pytest.raises(InvalidArgumentError, match=message):
        ClassWeights(**arguments)


def test_refuses_steps_out_of_range_and_samples_without_other_classes():
    embeddings, labels = draw(dtype=torch.float32)
    weights = ClassWeights(C, D, ArcFace(), sample_rate=1e-6)
    with pytest.raises(InvalidArgumentError, match="step from 0"):
        weights(embeddings, labels, step=-1)
    with pytest.raises(InvalidArgumentError, match="raise sample_rate above 1e-06"):
        weights(embeddings, labels * 0, step=0)


def test_backward_after_the_next_forward_uses_the_t_of_its_own():
    embeddings, labels = draw()

    def gradient(goes_on):
        weights = ClassWeights(C, D, MARGINS["curricularface"](momentum=0.5), dtype=torch.float64)
        loss = weights(embeddings, labels, step=0).loss
        if goes_on:
            weights(-embeddings, labels, step=1)
        loss.backward()
        return weights.weight.grad

    assert torch.equal(gradient(True), gradient(False))
