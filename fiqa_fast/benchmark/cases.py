"""What is measured: methods x networks x precisions x engines x batch sizes x threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from fiqa_fast.benchmark.flops import METHODS, TAPS, NetworkFlops, count_methods
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.registry import scorer_class

ALL_OUTPUTS = "all"
DEFAULT_SCORERS = ("grafiqs", "faceqan", "ser-fiq", "embedding-norm")
DEFAULT_NETWORKS = ("sface", "iresnet50")
DEFAULT_BATCH_SIZES = (1, 8)
_DEFAULT_BATCH_SIZES_OF = {"faceqan": (1, 4)}  # its copies make a batch by themselves


@dataclass(frozen=True)
class Workload:
    """What is computed for a face.

    Attributes:
        scorers: one method, or several that share a forward pass.
        output: of the method; ALL_OUTPUTS: what `score_all` gives.
        options: parameters of a single method that are not the default.
        with_loop: whether the official-style loop is timed too.
    """

    scorers: tuple[str, ...]
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)
    with_loop: bool = True

    @property
    def name(self) -> str:
        """Of the methods: "grafiqs", or "grafiqs+ser-fiq"."""
        return "+".join(self.scorers)


@dataclass(frozen=True)
class Case:
    """One way to compute a workload on a network.

    Attributes:
        precision: as `load_backbone` takes it.
        engine: as `create_scorer` takes it.
        batch_size: crops in a call of `score`.
    """

    precision: str
    engine: str
    batch_size: int


@dataclass(frozen=True)
class Group:
    """Cases of one workload that are timed in turn with its loop and floor.

    Attributes:
        network: a name; None: what the user's weights file holds.
        workload: what is computed.
        threads: of torch.
        cases: the ways.
    """

    network: str | None
    workload: Workload
    threads: int
    cases: tuple[Case, ...]


def parse_workloads(text: str) -> list[Workload]:
    """The workloads that a name stands for.

    Args:
        text: "grafiqs" (its default output, and all outputs together), "grafiqs.image" (one output;
            "grafiqs.all" all of them), or "grafiqs+ser-fiq" (everything, from one pass).

    Raises:
        InvalidArgumentError: an unknown method or output, or a method that runs no recognition
            network.
    """
    names = text.split("+")
    if len(names) > 1:
        for name in names:
            _check_method(name)
        return [Workload(tuple(names), ALL_OUTPUTS)]
    name, dot, output = text.partition(".")
    _check_method(name)
    spec = scorer_class(name).spec
    several = len(spec.outputs) > 1
    valid = (*spec.outputs, ALL_OUTPUTS) if several else spec.outputs
    if not dot:
        outputs = [spec.default_output, *([ALL_OUTPUTS] if several else [])]
        return [Workload((name,), o) for o in outputs]
    if output not in valid:
        raise InvalidArgumentError(
            f"benchmark: expected an output of {name} ({', '.join(valid)}), got {output!r};"
            " leave it out for the usual ones"
        )
    return [Workload((name,), output)]


def least_flops(workload: Workload, network: NetworkFlops) -> float:
    """The least operations for a face that give the workload's numbers."""
    return count_methods(
        network,
        dict.fromkeys(workload.scorers, workload.options),
        grafiqs_outputs=TAPS if workload.output == ALL_OUTPUTS else (workload.output,),
    )


def make_groups(
    workloads: Sequence[Workload],
    networks: Sequence[str | None],
    *,
    precisions: Sequence[str],
    engines: Sequence[str],
    batch_sizes: Sequence[int] | None,
    threads: Sequence[int],
) -> list[Group]:
    """The grid, network by network.

    Args:
        workloads: what to compute.
        networks: on which networks.
        precisions: in which arithmetic.
        engines: by what.
        batch_sizes: crops in a call; None: those that suit the method.
        threads: of torch.

    Raises:
        InvalidArgumentError: a batch size or number of threads below 1.
    """
    for what, numbers in (("--batch-size", batch_sizes or ()), ("--threads", threads)):
        for number in numbers:
            if number < 1:
                raise InvalidArgumentError(
                    f"benchmark: expected {what} >= 1, got {number}; choose another number"
                )
    groups = []
    for network, workload, count in product(networks, workloads, threads):
        sizes = batch_sizes or _DEFAULT_BATCH_SIZES_OF.get(workload.name, DEFAULT_BATCH_SIZES)
        cases = [Case(p, e, b) for p, e, b in product(precisions, engines, sizes)]
        groups.append(Group(network, workload, count, tuple(dict.fromkeys(cases))))
    return groups


def _check_method(name: str) -> None:
    scorer_class(name)
    if name not in METHODS:
        raise InvalidArgumentError(
            f"benchmark: expected --scorer to be one of {', '.join(METHODS)}, got {name!r};"
            " its cost is not that of a recognition network"
        )
