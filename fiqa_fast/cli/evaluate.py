"""`fiqa-fast evaluate`: error-versus-discard curves on a data set, from photos or from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.cli.area_table import print_areas
from fiqa_fast.cli.evaluation_job import EvaluationJob, folder_name
from fiqa_fast.cli.make_scorers import make_scorers
from fiqa_fast.cli.options import parse_options, parse_per_method
from fiqa_fast.cli.scoring_options import (
    AllOutputs,
    Device,
    MethodOptions,
    Networks,
    Overwrite,
    Precision,
    Resume,
    Variant,
    Verify,
    WeightsFiles,
)
from fiqa_fast.cli.verification import load_networks, parse_labels
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.bootstrap import DEFAULT_REPEATS
from fiqa_fast.evaluation.describe import (
    compare_labels,
    describe_scores,
    measure_by_network,
    require_identities,
)
from fiqa_fast.evaluation.edc import THRESHOLD_POLICIES
from fiqa_fast.evaluation.embedding_files import read_embeddings
from fiqa_fast.evaluation.embeddings import Augmentation
from fiqa_fast.evaluation.inputs import (
    GIVEN_SCORES,
    EvaluationSettings,
    MethodScores,
    Verification,
)
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.protocols.catalogue import Drawing, load_protocol
from fiqa_fast.evaluation.protocols.checks import check_both_classes
from fiqa_fast.evaluation.result import EvaluationResult
from fiqa_fast.evaluation.run import evaluate_protocol
from fiqa_fast.evaluation.run_templates import evaluate_templates
from fiqa_fast.evaluation.score_files import read_scores
from fiqa_fast.evaluation.similarity import EmbeddingArray, cosine_of_pairs
from fiqa_fast.scorers.base import Scorer

AnyProtocol = Protocol | TemplateProtocol


def evaluate(
    data_sets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA_SET...",
            help="LFW, CFP-FP, AgeDB-30, CALFW, CPLFW, XQLFW, Adience, IJB-B, IJB-C, VGGFace2; or a"
            " .bin file, a list of pairs, a .csv file (sample_a,sample_b,mated), or a folder with a"
            " sub-folder for each person.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data sets; for lists and CSV files, of their images."),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results and the report.")
    ] = Path("results/evaluation"),
    scorer: Annotated[
        str | None,
        typer.Option(help="Methods to score the samples with, separated by commas."),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            help="Scores of the samples: of `fiqa-fast score`, a CSV file (sample,method,...), or"
            " lines of sample and score; may be repeated."
        ),
    ] = None,
    lower_is_better: Annotated[
        list[str] | None,
        typer.Option(help="Method of --scores whose lower scores are better; may be repeated."),
    ] = None,
    verify: Verify = None,
    embeddings: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LABEL=]FILE",
            help="Embeddings of the samples (.npy with .txt, .npz, .parquet); may be repeated.",
        ),
    ] = None,
    augmentation: Annotated[
        str,
        typer.Option(help="Mirror images: concatenate (CR-FIQA), sum (InsightFace) or none."),
    ] = "concatenate",
    aligned: Annotated[
        bool | None,
        typer.Option("--aligned/--detect", help="Whether images are aligned crops."),
    ] = None,
    fmr: Annotated[
        list[float] | None,
        typer.Option(help="False match rate of the threshold; may be repeated. 1e-2, 1e-3, 1e-4."),
    ] = None,
    threshold: Annotated[
        list[float] | None, typer.Option(help="A decision threshold instead; may be repeated.")
    ] = None,
    threshold_policy: Annotated[
        str,
        typer.Option(help="fixed (ISO), per_discard (CR-FIQA's and GraFIQs' tables) or both."),
    ] = "both",
    fmr_curves: Annotated[
        bool, typer.Option("--fmr-curves", help="Also curves of the FMR, at fixed thresholds.")
    ] = False,
    pair_quality: Annotated[str, typer.Option(help="min, mean or product.")] = "min",
    missing: Annotated[
        str,
        typer.Option(
            help="Samples without a score: error, lowest (discarded first) or drop (left out)."
        ),
    ] = "error",
    bootstrap: Annotated[
        int, typer.Option(help="Draws of identities for confidence intervals; 0: none.")
    ] = DEFAULT_REPEATS,
    reference: Annotated[
        str | None, typer.Option(help="Method that others are tested against. Default: the best.")
    ] = None,
    classifiability: Annotated[
        bool,
        typer.Option(
            "--classifiability",
            help="Also distributions of CCS, NNCCS and CR (CR-FIQA) on each recognition network,"
            " and how far the methods agree with CR.",
        ),
    ] = False,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare-labels",
            metavar="BEFORE,AFTER",
            help="Two of the methods, such as the labels before and after an optimisation: a"
            " scatter of their ranks; may be repeated.",
        ),
    ] = None,
    mated_per_identity: Annotated[
        int, typer.Option(help="Of folders: mated comparisons of a person, at most.")
    ] = Drawing.mated_per_identity,
    non_mated: Annotated[
        int, typer.Option(help="Of folders: non-mated comparisons that are drawn.")
    ] = Drawing.non_mated,
    option: MethodOptions = None,
    all_outputs: AllOutputs = False,
    variant: Variant = "official",
    backbone: Networks = None,
    weights: WeightsFiles = None,
    precision: Precision = "auto",
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Of all random draws.")] = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate quality methods: error-versus-discard curves (EDC), areas, error rates, a report.

    Samples are scored (--scorer) or their scores read (--scores); comparisons are scored by
    recognition networks (--verify), from embeddings (--embeddings), or by the data set itself.
    Quality from one network and verification by others are all evaluated in one call. Exit codes
    as of `score`.
    """
    console = Console(stderr=True, markup=False)
    if resume and overwrite:
        raise InvalidArgumentError(
            "evaluate: expected --resume or --overwrite, got both; choose one"
        )
    if scorer is None and not scores:
        raise InvalidArgumentError(
            "evaluate: expected methods (--scorer grafiqs,ser-fiq) or files of scores (--scores),"
            " got neither; give one"
        )
    flips = next((a for a in get_args(Augmentation) if a == augmentation), None)
    if flips is None:
        raise InvalidArgumentError(
            f"evaluate: expected augmentation to be one of {', '.join(get_args(Augmentation))},"
            f" got {augmentation!r}; choose one of them"
        )
    policies = THRESHOLD_POLICIES if threshold_policy == "both" else (threshold_policy,)
    settings = EvaluationSettings(
        fmrs=tuple(fmr or (() if threshold else EvaluationSettings.fmrs)),
        decision_thresholds=tuple(threshold or ()),
        threshold_policies=policies,
        errors=("fnmr", "fmr") if fmr_curves else ("fnmr",),
        pair_quality=pair_quality,
        missing=missing,
        bootstrap_repeats=bootstrap,
        reference=reference,
        seed=seed,
    )
    label_pairs = list(dict.fromkeys(_parse_pair(text) for text in compare or []))
    drawing = Drawing(mated_per_identity, non_mated, seed)
    protocols = [load_protocol(d, data, aligned=aligned, drawing=drawing) for d in data_sets]
    for protocol in protocols:  # before hours of scoring
        if classifiability:
            require_identities(protocol)
        check_both_classes(protocol.mated, protocol.name)
    names = [name.strip() for name in (scorer or "").split(",") if name.strip()]
    scorers: list[Scorer] = []
    if names:
        scorers = make_scorers(
            parse_options(option or [], names),
            parse_per_method(backbone or [], names, "--backbone"),
            parse_per_method(weights or [], names, "--weights"),
            variant=variant,
            precision=precision,
            device=device,
            seed=seed,
        )
    has_scores = all(protocol.comparison_scores is not None for protocol in protocols)
    networks: dict[str, Backbone] = {}
    if verify or not (embeddings or has_scores):
        networks = load_networks(verify or [], device)
    files = {
        label or Path(path).stem: Path(path)
        for label, path in parse_labels(embeddings or [], "--embeddings")
    }
    job = EvaluationJob(out, "resume" if resume else "overwrite" if overwrite else "new", console)
    parts: list[EvaluationResult] = []
    for protocol in protocols:
        methods = [
            method
            for path in scores or []
            for method in read_scores(path, protocol, lower_is_better or [])
        ]
        if scorers:
            folder = out if len(protocols) == 1 else out / folder_name(protocol.name)
            asked = {"data_set": protocol.name, "aligned": protocol.aligned}
            methods += job.score(protocol, scorers, folder, all_outputs=all_outputs, settings=asked)
        changes = [compare_labels(protocol.name, methods, *pair) for pair in label_pairs]
        parts += _evaluate(
            job,
            protocol,
            methods,
            networks,
            files,
            flips,
            settings,
            classifiability=classifiability,
        )
        parts.append(EvaluationResult(title="", label_changes=tuple(changes)))
    job.finish(
        f"Face image quality on {', '.join(protocol.name for protocol in protocols)}",
        {"mirror images": augmentation, "pair quality": pair_quality, "missing": missing},
        parts,
    )
    print_areas([curve for part in parts for curve in part.curves], Console())


def _evaluate(
    job: EvaluationJob,
    protocol: AnyProtocol,
    methods: list[MethodScores],
    networks: dict[str, Backbone],
    files: dict[str, Path],
    augmentation: Augmentation,
    settings: EvaluationSettings,
    *,
    classifiability: bool,
) -> list[EvaluationResult]:
    """What one data set shows."""
    of_templates = isinstance(protocol, TemplateProtocol)
    found: dict[str, EmbeddingArray] = {
        label: job.embed(
            protocol, network, label, "raw_sum" if of_templates else augmentation
        ).embeddings
        for label, network in networks.items()
    }
    for label, path in files.items():
        read = read_embeddings(path, protocol.samples, allow_missing=settings.missing != "error")
        found[label] = read.embeddings
    by_network = measure_by_network(protocol, found) if classifiability else None
    described = describe_scores(protocol.name, methods, by_network)
    if isinstance(protocol, TemplateProtocol):
        return [evaluate_templates(protocol, methods, found, settings, job.progress), described]
    verifications = [
        Verification(label, cosine_of_pairs(rows, protocol.sample_a, protocol.sample_b))
        for label, rows in found.items()
    ]
    if protocol.comparison_scores is not None:
        verifications.append(Verification(GIVEN_SCORES, protocol.comparison_scores))
    return [
        evaluate_protocol(protocol, methods, verifications, settings, job.progress),
        described,
    ]


def _parse_pair(text: str) -> tuple[str, str]:
    """Two methods of --compare-labels."""
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise InvalidArgumentError(
            f"evaluate: expected --compare-labels to name two methods, got {text!r}; write"
            " BEFORE,AFTER"
        )
    return names[0], names[1]
