"""A load test of a scorer behind Triton, on this machine's CPU.

    python benchmarks/serving/load_test.py --scorer ser-fiq -o benchmarks/results/serving_ser_fiq

writes OUT.json and OUT.md:

- throughput of crops, one in each request, 16 requests at a time, against that of the same scorer
  in this process, on the same cores; both run in turn, round after round;
- latencies of crops and of image files (through the ensemble, with face detection), with 1, 4 and
  16 requests at a time;
- memory of the server and of its models over many requests: slope by least squares.

The client is one thread with an event loop, so that it takes as little as it can of the cores. It
is bounded: each measurement by --seconds, the memory by --requests; the server ends with it. On a
machine that does anything else the numbers mean little: the page then says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from load_report import page
from resident_memory import ResidentMemory

from fiqa_fast.benchmark.contention import waited_fraction, waited_s
from fiqa_fast.benchmark.crops import synthetic_crops
from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.benchmark.measure import ratios, spread
from fiqa_fast.client import AsyncFiqaClient, ClientOptions
from fiqa_fast.engines.exported import load_exported
from fiqa_fast.serving import engine_file, scorer_file
from fiqa_fast.serving.repository.build import build_repository
from fiqa_fast.serving.repository.settings import RepositorySettings, parse_settings
from fiqa_fast.serving.server import TritonServer
from fiqa_fast.serving.typed_record import read_record

ROOT = Path(__file__).parents[2]
CONCURRENCIES = (1, 4, 16)
BATCH_SIZE = 16
MEMORY_SAMPLES = 60

Ask = Callable[[int], Awaitable[object]]
"""Asks for the score of the nth crop or image."""


def settings_of(arguments: argparse.Namespace) -> RepositorySettings:
    """One scorer, alone and in the ensemble, without a cache: every request is computed."""
    scorer: dict[str, Any] = {
        "scorer": arguments.scorer,
        "precision": arguments.precision,
        "backend": arguments.backend,
        "instances": arguments.instances,
        "threads": arguments.threads,
    }
    if arguments.network is not None:
        scorer["network"] = arguments.network
    if arguments.weights is not None:
        scorer["weights"] = str(arguments.weights.resolve())
    return parse_settings(
        {
            "scorers": [scorer],
            "response_cache": False,
            "max_batch_size": arguments.max_batch_size,
            "queue_delay_us": arguments.queue_delay_us,
        }
    )


def in_process(repository: Path, model: str, cores: int) -> Callable[[np.ndarray], object]:
    """The scorer of a served model, in this process: uint8 [B, 112, 112, 3] -> its scores."""
    folder = repository / model / "1"
    if (folder / engine_file.NAME).exists():
        graph = read_record(engine_file.EngineFile, folder / engine_file.NAME).graph
        return load_exported(folder / graph, threads=cores).run
    torch.set_num_threads(cores)
    record = read_record(scorer_file.ScorerFile, folder / scorer_file.NAME)
    return record.load(folder, "cpu").score


class Load:
    """Requests to a server, a number of them at a time.

    Args:
        ask: one request.
        count: of different things to ask for.
    """

    def __init__(self, ask: Ask, count: int) -> None:
        self._ask, self._count = ask, count

    async def run(
        self, concurrency: int, *, seconds: float = np.inf, requests: float = np.inf
    ) -> tuple[list[float], float]:
        """Asks until the time is over or enough is asked: seconds of each request, and of all."""
        times: list[float] = []
        begin = time.perf_counter()
        started = 0

        async def worker() -> None:
            nonlocal started
            while time.perf_counter() - begin < seconds and started < requests:
                number, started = started, started + 1
                start = time.perf_counter()
                await self._ask(number % self._count)
                times.append(time.perf_counter() - start)

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
        return times, time.perf_counter() - begin


async def measure(arguments: argparse.Namespace, repository: Path, model: str) -> dict[str, Any]:
    """All measurements, on a server that runs as long as they do."""
    crops = synthetic_crops(64).permute(0, 2, 3, 1).contiguous().numpy()
    images = [path.read_bytes() for path in sorted(arguments.images.glob("*.jpg"))]
    score = in_process(repository, model, arguments.instances * arguments.threads)
    with TritonServer(repository) as server:
        options = ClientOptions(
            server.grpc_address, in_flight=16, shared_memory=arguments.shared_memory
        )
        async with AsyncFiqaClient(options) as client:
            of_crops = Load(lambda n: client.score_crops(crops[n : n + 1], [model]), len(crops))
            of_images = Load(lambda n: client.score_images([images[n]], [model]), len(images))
            for load in (of_crops, of_images):
                await load.run(16, seconds=arguments.seconds / 2)
            score(crops[:BATCH_SIZE])
            return {
                "throughput": await throughput(arguments, of_crops, score, crops),
                "latency_ms": {
                    "crops": await latencies(arguments, of_crops),
                    "image files": await latencies(arguments, of_images),
                },
                "memory": await memory(arguments, of_crops, server.pid),
            }


async def throughput(
    arguments: argparse.Namespace, load: Load, score: Callable[[np.ndarray], object], crops: Any
) -> dict[str, Any]:
    """Faces per second here and there, in turn.

    `waited_fraction`: how long threads of this process waited for a core while the server had
    nothing to do, in the worst round: what something else took.
    """
    here, there, waited = [], [], []
    for _ in range(arguments.rounds):
        begin, faces, waited_before = time.perf_counter(), 0, waited_s()
        while (elapsed := time.perf_counter() - begin) < arguments.seconds:
            score(crops[faces % len(crops) :][:BATCH_SIZE])
            faces += BATCH_SIZE
        here.append(faces / elapsed)
        waited.append(waited_fraction(waited_before, waited_s(), elapsed) or 0.0)
        times, elapsed = await load.run(16, seconds=arguments.seconds)
        there.append(len(times) / elapsed)
    return {
        "in_process_faces_per_s": asdict(spread(here)),
        "served_faces_per_s": asdict(spread(there)),
        "served_to_in_process": asdict(ratios(there, here)),
        "rounds": arguments.rounds,
        "waited_fraction": max(waited),
    }


async def latencies(arguments: argparse.Namespace, load: Load) -> dict[int, dict[str, float]]:
    """Percentiles for each number of requests at a time."""
    found = {}
    for concurrency in CONCURRENCIES:
        times, elapsed = await load.run(concurrency, seconds=arguments.seconds)
        p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1e3
        found[concurrency] = {
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "requests": len(times),
            "requests_per_s": len(times) / elapsed,
        }
    return found


async def memory(arguments: argparse.Namespace, load: Load, pid: int) -> dict[str, Any]:
    """Growth over the requests, by samples at equal distances."""
    resident = ResidentMemory(pid)
    step = max(1, arguments.requests // MEMORY_SAMPLES)
    done = 0
    while done < arguments.requests:
        resident.sample(done)
        times, _ = await load.run(16, requests=step)
        done += len(times)
    resident.sample(done)
    return {"requests": done, **resident.growth()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = os.cpu_count() or 1
    add = parser.add_argument
    add("--scorer", default="ser-fiq")
    add("--network", help="default: what the weights hold, or the method's")
    add("--weights", type=Path)
    add("--precision", default="float32")
    add("--backend", default="python", help="python, tensorrt, openvino or onnxruntime")
    add("--instances", type=int, default=1, help="processes of the model")
    add("--threads", type=int, default=cores, help="of each instance")
    add("--max-batch-size", type=int, default=8, help="half of 16: it works while others travel")
    add("--queue-delay-us", type=int, default=1000)
    add("--shared-memory", default="none", choices=["none", "system"])
    add("--images", type=Path, default=ROOT / "examples" / "faces")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=5.0, help="of each measurement")
    add("--requests", type=int, default=2000, help="over which memory is looked at")
    add("-o", "--out", type=Path, default=Path("results/serving"))
    arguments = parser.parse_args()

    settings = settings_of(arguments)
    model = settings.scorers[0].model
    with tempfile.TemporaryDirectory(prefix="fiqa-load-") as folder:
        repository = Path(folder) / "repository"
        build_repository(settings, repository)
        result = asyncio.run(measure(arguments, repository, model))
    result |= {
        "arguments": {name: value for name, value in vars(arguments).items() if name != "out"},
        "machine": asdict(describe_machine(torch.device("cpu"))),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(result, indent=2, default=str) + "\n")
    arguments.out.with_suffix(".md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
