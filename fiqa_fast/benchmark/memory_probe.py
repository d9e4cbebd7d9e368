"""The process that `memory.process_peak_mib` watches: scores one batch, prints its peak in MiB.

python -m fiqa_fast.benchmark.memory_probe '{"network": "sface", ...}'
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from fiqa_fast.benchmark.candidates import make_candidate
from fiqa_fast.benchmark.cases import Workload
from fiqa_fast.benchmark.crops import synthetic_crops
from fiqa_fast.benchmark.networks import NetworkSource, load


def main() -> None:
    """Reads the case from the first argument."""
    case = json.loads(sys.argv[1])
    torch.set_num_threads(case["threads"])
    weights = None if case["weights"] is None else Path(case["weights"])
    source = NetworkSource(case["network"], weights, "")
    network = load(source, precision=case["precision"], device="cpu")
    workload = Workload(tuple(case["scorers"]), case["output"], case["options"])
    make_candidate(workload, network, case["engine"]).score(synthetic_crops(case["batch_size"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    sys.stdout.write(f"{peak / 1024:.1f}\n")


if __name__ == "__main__":
    main()
