"""Two processes of gloo against one: losses and weights of 50 steps."""

import datetime
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from fiqa_fast.training.class_weights import ClassWeights
from fiqa_fast.training.losses import MARGINS, quality_loss, quality_target

C, D, B, STEPS = 50, 16, 16, 50
CASES = {
    "float32": (torch.float32, "arcface", 1.0),
    "float64": (torch.float64, "arcface", 1.0),
    "sampled": (torch.float32, "arcface", 0.5),
    "curricular": (torch.float32, "curricularface", 1.0),
}


def train(dtype, name, sample_rate):
    """A linear network in DistributedDataParallel where there are processes."""
    torch.set_num_threads(1)
    is_spread = dist.is_initialized()
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if is_spread else (0, 1)
    generator = torch.Generator().manual_seed(0)
    network = torch.nn.Linear(24, D + 1).to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    centres = torch.randn(C, 24, generator=generator, dtype=dtype)
    model = torch.nn.parallel.DistributedDataParallel(network) if is_spread else network
    weights = ClassWeights(C, D, MARGINS[name](scale=16.0), sample_rate=sample_rate, dtype=dtype)
    parameters = [*network.parameters(), *weights.parameters()]
    sgd = torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=5e-4)
    share = B // world_size
    mine = slice(rank * share, (rank + 1) * share)
    losses = []
    for step in range(STEPS):
        labels = torch.randint(C, (B,), generator=generator)
        noise = torch.randn(B, 24, generator=generator, dtype=dtype)
        outputs = model((centres[labels] + 0.5 * noise)[mine])
        result = weights(outputs[:, :D], labels[mine], step=step)
        quality = quality_loss(outputs[:, D], quality_target(result.ccs, result.nnccs), weight=0.1)
        loss = result.loss + quality
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        both = torch.stack([result.loss.detach(), quality.detach()])
        if is_spread:
            dist.all_reduce(both)
        losses.append(both / world_size)
    return torch.stack(losses), weights.gather_weights(), network.weight.detach()


def work(rank, port, folder):
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=120),
    )
    try:
        results = {case: train(*options) for case, options in CASES.items()}
        torch.save(results, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes has at the end, by case: they take seconds to start."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", list(CASES))
def test_two_processes_equal_one(ranks, case):
    losses, *weights = train(*CASES[case])
    assert losses[-10:, 0].mean() < 0.5 * losses[:10, 0].mean()
    tolerance = 1e-12 if CASES[case][0] == torch.float64 else 1e-5
    for rank in ranks:
        for found, expected in zip(rank[case], (losses, *weights), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
