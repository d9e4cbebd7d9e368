"""Distils methods into one pass of SFace, and compares each pupil with its teacher.

    python benchmarks/training/package_faces.py -o results/package-faces
    fiqa-fast score results/package-faces --aligned -o results/package-labels \
        --scorer faceqan,grafiqs,ser-fiq,embedding-norm
    python benchmarks/training/measure_distillation.py results/package-faces \
        results/package-labels/scores.parquet -o benchmarks/results/distillation

The first two commands give the photographs that other packages carry, degraded, and their labels:
FaceQAN takes half an hour. Then a network is trained for each teacher, with the labels as they are
and optimised, or its head alone. People of the held-out photographs and those of examples/faces are
in no training. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.benchmark.measure import in_turn, ratios, spread
from fiqa_fast.cli.benchmark_quality import EXAMPLES
from fiqa_fast.evaluation.embeddings import compute_embeddings
from fiqa_fast.evaluation.inputs import EvaluationSettings, MethodScores, Verification
from fiqa_fast.evaluation.ladder.photographs import find_photographs
from fiqa_fast.evaluation.ladder.protocol import ladder_protocol
from fiqa_fast.evaluation.ladder.rungs import write_ladder
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.result import CurveRecord
from fiqa_fast.evaluation.run import evaluate_protocol
from fiqa_fast.evaluation.sample_scores import methods_of_table
from fiqa_fast.evaluation.similarity import cosine_of_pairs
from fiqa_fast.ranks import correlate_ranks
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.folder import open_folder
from fiqa_fast.training.distill import DistillSettings, distill
from fiqa_fast.training.label_optimization import optimise_labels
from fiqa_fast.training.samples import as_protocol
from fiqa_fast.training.train_cr_fiqa import NETWORK_FILE
from fiqa_fast.types import Float64Array, UInt8Array

NORM = "embedding-norm"
FMRS, LIMITS = (0.1, 0.01), (0.2, 0.95)
VALIDATION = 6  # every 6th person
ROUNDS, AT_ONCE = 5, 8
TIMED = ("faceqan", "grafiqs", "ser-fiq", "froq", NORM)
THETA = 0.01  # moves labels by up to a tenth of the samples here; the paper's .001 by a hundredth


@dataclass(frozen=True)
class Pupil:
    """One training."""

    teacher: str
    theta: float | None = None
    head_only: bool = False

    @property
    def name(self) -> str:
        optimised = "" if self.theta is None else f" + label optimisation (theta {self.theta:g})"
        return f"distilled {self.teacher}{optimised}{', head alone' if self.head_only else ''}"


PUPILS = (
    Pupil("faceqan"),
    Pupil("faceqan", theta=0.001),
    Pupil("faceqan", theta=THETA),
    Pupil("faceqan", head_only=True),
    Pupil("grafiqs"),
    Pupil("ser-fiq"),
)


@dataclass(frozen=True)
class Held:
    """A protocol of people whom no training has seen, with the scores of methods by name."""

    protocol: Protocol
    crops: UInt8Array
    comparison_scores: npt.NDArray[np.float32]
    scores: dict[str, MethodScores]

    def add(self, name: str, scorer: Scorer) -> None:
        values = torch.cat([scorer.score(part) for part in np.array_split(self.crops, 32)])
        raw = values.double().numpy()
        polarity = scorer.spec.higher_is_better
        self.scores[name] = MethodScores(name, "sface", polarity, raw)

    def oriented(self, name: str) -> Float64Array:
        method = self.scores[name]
        return method.raw_scores if method.higher_is_better else -method.raw_scores

    def areas(self) -> list[CurveRecord]:
        settings = EvaluationSettings(
            fmrs=FMRS, threshold_policies=("fixed",), bootstrap_repeats=200
        )
        verification = Verification("sface", self.comparison_scores)
        methods = list(self.scores.values())
        return list(evaluate_protocol(self.protocol, methods, [verification], settings).curves)


def hold(protocol: Protocol, scores: Sequence[MethodScores] = ()) -> Held:
    """A protocol with its crops and SFace's comparison scores."""
    crops = np.stack([np.asarray(cv2.imread(str(s)))[..., ::-1] for s in protocol.sources])
    found = compute_embeddings(protocol, load_backbone("sface")).embeddings
    compared = cosine_of_pairs(found, protocol.sample_a, protocol.sample_b)
    return Held(protocol, np.ascontiguousarray(crops), compared, by_scorer(scores))


def by_scorer(found: Sequence[MethodScores]) -> dict[str, MethodScores]:
    """By the scorer's name, without that of the output."""
    named = [replace(m, method=m.method.split("/")[0]) for m in found]
    return {m.method: m for m in named}


def of_examples(folder: Path) -> Protocol:
    """The mini benchmark of `fiqa-fast benchmark quality`."""
    photographs = find_photographs(EXAMPLES)
    names = {photograph.path: photograph.name for photograph in photographs}
    rungs, _ = write_ladder(names, folder, names)
    identity_of = {photograph.name: photograph.identity for photograph in photographs}
    return ladder_protocol(rungs, identity_of, folder, "example photographs")


def against_clean(faces: TrainingSet, folder: Path) -> Protocol:
    """Each degraded crop with the clean ones: mated with that of its own photograph."""
    stems = [Path(sample).stem for sample in faces.samples]
    photo = np.asarray([stem.split("__")[0] for stem in stems])
    is_clean = np.asarray(["__" not in stem for stem in stems])
    a, b = np.meshgrid(np.flatnonzero(~is_clean), np.flatnonzero(is_clean), indexing="ij")
    a, b = a.ravel().astype(np.int32), b.ravel().astype(np.int32)
    mated = photo[a] == photo[b]
    # Other photographs of one person are left out: SFace itself has said who is who.
    kept = mated | (faces.identity[a] != faces.identity[b])
    return Protocol(
        name="held-out photographs",
        samples=tuple(faces.samples),
        sources=[folder / sample for sample in faces.samples],
        aligned=True,
        identity=faces.identity,
        sample_a=a[kept],
        sample_b=b[kept],
        mated=mated[kept],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faces", type=Path, help="folder that package_faces.py has filled")
    parser.add_argument("labels", type=Path, help="scores.parquet of these faces")
    parser.add_argument("-o", "--out", type=Path, required=True, help="without an ending")
    parser.add_argument("--work", type=Path, help="folder for networks; default: one that goes")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    table = pq.read_table(options.labels)
    learn, held_out = (open_folder(options.faces / part) for part in ("learn", "held-out"))
    taught = by_scorer(methods_of_table(table, as_protocol(learn), "labels"))
    unseen = against_clean(held_out, options.faces / "held-out")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        held = [
            hold(unseen, methods_of_table(table, unseen, "labels")),
            hold(of_examples(work / "ladder")),
        ]
        for teacher in (*dict.fromkeys(pupil.teacher for pupil in PUPILS), NORM):
            held[1].add(teacher, create_scorer(teacher))
        for pupil in PUPILS:
            path = train(pupil, learn, taught[pupil.teacher], work, options)
            for part in held:
                part.add(pupil.name, create_scorer("label-regressor", weights=path))
            print(pupil.name, flush=True)
        times = time_methods(work / folder_of(PUPILS[0]) / NETWORK_FILE, held[1].crops)
    write(options, learn, held, times)


def train(
    pupil: Pupil,
    learn: TrainingSet,
    teacher: MethodScores,
    work: Path,
    options: argparse.Namespace,
) -> Path:
    """The file of a trained network."""
    network = load_backbone("sface")
    labels = teacher.raw_scores if teacher.higher_is_better else -teacher.raw_scores
    if pupil.theta is not None:
        found = compute_embeddings(as_protocol(learn), network, augmentation="none").embeddings
        labels = optimise_labels(labels, found, learn.identity, theta=pupil.theta).quality
    folder = work / folder_of(pupil)
    distill(
        learn,
        labels,
        network,
        folder,
        DistillSettings(
            head_only=pupil.head_only,
            # The head alone learns slowly and costs a third.
            epochs=options.epochs * (3 if pupil.head_only else 1),
            batch_size=options.batch_size,
        ),
        validation=learn.identity % VALIDATION == VALIDATION - 1,
        origin=pupil.name,
        progress=lambda step, values: print(step, dict(values), flush=True),
    )
    return folder / NETWORK_FILE


def folder_of(pupil: Pupil) -> str:
    return f"{pupil.teacher}-{pupil.theta}-{pupil.head_only}"


def time_methods(pupil: Path, crops: UInt8Array) -> dict[str, list[float]]:
    """Seconds of each round for some crops, in turn: teachers, one pass alone, the pupil."""
    scorers = {name: create_scorer(name) for name in TIMED}
    scorers["distilled"] = create_scorer("label-regressor", weights=pupil)
    for name, scorer in scorers.items():
        print(name, scorer.engine, scorer.backbone.precision)
    some = crops[:AT_ONCE]
    calls = {name: (lambda s=scorer: s.score(some)) for name, scorer in scorers.items()}
    return in_turn(calls, torch.device("cpu"), rounds=ROUNDS, budget_s=120)


def write(
    options: argparse.Namespace,
    learn: TrainingSet,
    held: Sequence[Held],
    times: Mapping[str, list[float]],
) -> None:
    machine = describe_machine(torch.device("cpu"))
    photos = len({Path(sample).stem.split("__")[0] for sample in learn.samples})
    lines = [
        "# Methods distilled into one pass of SFace",
        "",
        f"{machine.cpu}, {machine.cores} cores, float32. Learned from {learn.count} crops of"
        f" {photos} photographs of {len(learn.identity_names)} people that packages carry,"
        f" {options.epochs} epochs in batches of {options.batch_size} (head alone: three times as"
        " many), the paper's rates; every sixth person for validation. Nobody of the people below"
        " was learned from.",
        "",
        "## Time",
        "",
        f"Milliseconds a crop, {AT_ONCE} crops a call, median of {ROUNDS} rounds in turn, each on"
        " the engine that `auto` chooses (OpenVINO for the distilled network, the package's own for"
        " the others).",
        "",
        "| method | ms | times the distilled network |",
        "|---|---:|---:|",
        *(
            f"| {name} | {1e3 * spread(seconds).median / AT_ONCE:.2f} |"
            f" {ratios(seconds, times['distilled']).median:.3g} |"
            for name, seconds in times.items()
        ),
    ]
    record: dict[str, object] = {"machine": vars(machine), "seconds": times}
    for part in held:
        lines += ["", *show(part)]
        record[part.protocol.name] = {
            "agreement": agreements(part),
            "curves": [vars(curve) | {"areas": [vars(a) for a in curve.areas]} for curve in
                       thinned(part.areas())],
        }  # fmt: skip
    lines += [
        "",
        "## Limits",
        "",
        "A few hundred photographs, degraded by a program, most of celebrities and models; drawings"
        " among them, and two people taken for one where SFace finds them alike. SFace compares, is"
        " what learns, and said who is who. The comparisons of one photograph are not independent;"
        " the held-out photographs are compared with their own undegraded form. What a pupil learns"
        " here is how degraded a crop is, more than how useful.",
    ]
    page = "\n".join(lines) + "\n"
    print(page)
    options.out.with_name(options.out.name + ".md").write_text(page)
    options.out.with_name(options.out.name + ".json").write_text(
        json.dumps(record, indent=1, default=str) + "\n"
    )


def thinned(curves: Sequence[CurveRecord]) -> list[CurveRecord]:
    """What the tables show of them."""
    return [
        replace(
            curve,
            discard_fraction=(),
            error_rate=(),
            areas=tuple(area for area in curve.areas if area.limit in LIMITS),
        )
        for curve in curves
    ]


def agreements(part: Held) -> dict[str, dict[str, float | None]]:
    """Spearman's rho of each pupil, and of the embedding norm, to each teacher."""
    return {
        pupil.name: {
            "to its teacher": correlate_ranks(
                part.oriented(pupil.name), part.oriented(pupil.teacher)
            ),
            "of the norm": correlate_ranks(part.oriented(NORM), part.oriented(pupil.teacher)),
        }
        for pupil in PUPILS
    }


def show(part: Held) -> list[str]:
    protocol, curves = part.protocol, part.areas()
    people = len(np.unique(protocol.identity))
    lines = [
        f"## On {protocol.name}",
        "",
        f"{len(protocol.samples)} crops of {people} people, {int(protocol.mated.sum())} mated and"
        f" {int((~protocol.mated).sum())} non-mated comparisons. Spearman's rho to the teacher"
        " (in brackets: the embedding norm's to the same teacher), and areas under the FNMR up to a"
        " discard fraction, over that of random discarding, with 95 % intervals over people.",
        "",
        "| method | rho | "
        + " | ".join(f"FMR {fmr:g}, up to {limit:g}" for fmr in FMRS for limit in LIMITS)
        + " |",
        "|---|---:|" + "---:|" * (len(FMRS) * len(LIMITS)),
    ]
    agreement = agreements(part)
    for name in part.scores:
        rho = ""
        if name in agreement:
            rho = "{to its teacher:.3f} ({of the norm:.3f})".format(**agreement[name])
        cells = []
        for fmr in FMRS:
            (curve,) = (c for c in curves if c.method == name and c.fmr == fmr)
            for limit in LIMITS:
                (area,) = (x for x in curve.areas if x.limit == limit)
                cells.append(
                    f"{area.normalised:.2f} [{area.normalised_low:.2f}, {area.normalised_high:.2f}]"
                )
        lines.append(f"| {name} | {rho} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
