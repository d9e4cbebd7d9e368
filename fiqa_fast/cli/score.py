"""`fiqa-fast score`: images in; a table of scores and a ranked report out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from fiqa_fast.backbones.families.none import NAME as NO_NETWORK
from fiqa_fast.calibration import Calibration, find_calibration, read_calibrations
from fiqa_fast.cli.exit_codes import ExitCode
from fiqa_fast.cli.make_scorers import make_scorers, run_settings
from fiqa_fast.cli.options import parse_options, parse_per_method
from fiqa_fast.cli.score_on_server import (
    DEFAULT_TIMEOUT_S,
    check_server_options,
    is_given,
    score_on_server,
)
from fiqa_fast.cli.scoring_job import ScoringJob
from fiqa_fast.cli.scoring_options import (
    AllOutputs,
    Device,
    MethodOptions,
    Networks,
    Overwrite,
    Precision,
    Resume,
    Variant,
    WeightsFiles,
)
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.explanation.writer import ExplanationWriter
from fiqa_fast.images.decode import DEFAULT_MAX_MEGAPIXELS, pixel_limit
from fiqa_fast.images.detect import FacePolicy, YuNetDetector
from fiqa_fast.images.sources import find_images
from fiqa_fast.pipeline import (
    DEFAULT_BATCH_SIZE,
    FaceFinder,
    check_batch_size,
    check_policy,
    score_stream,
)
from fiqa_fast.results import Mode
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import scorer_class


def score(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Folders (searched at any depth), image files, patterns, list files (.txt, .lst:"
            " one path a line), or - for paths on standard input."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Folder for scores.parquet, scores.csv, report.html."),
    ] = Path("results"),
    scorer: Annotated[
        str, typer.Option(help="Methods, separated by commas; see `fiqa-fast models`.")
    ] = "ser-fiq",
    option: MethodOptions = None,
    all_outputs: AllOutputs = False,
    variant: Variant = "official",
    backbone: Networks = None,
    weights: WeightsFiles = None,
    precision: Precision = "auto",
    device: Device = "auto",
    engine: Annotated[
        str, typer.Option(help="auto, torch (fused operators) or reference (plain layers).")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(help="Of the random draws of faceqan, ser-fiq and diffiqa.")
    ] = 0,
    batch_size: Annotated[
        int, typer.Option(help="Faces that are collected before they are scored.")
    ] = DEFAULT_BATCH_SIZE,
    faces: Annotated[
        str, typer.Option(help="Which faces of a photograph: largest, central or all.")
    ] = "largest",
    aligned: Annotated[
        bool,
        typer.Option("--aligned", help="Take images as aligned crops; no face detection."),
    ] = False,
    max_megapixels: Annotated[
        float, typer.Option(help="Refuse larger images before they are decoded.")
    ] = DEFAULT_MAX_MEGAPIXELS,
    calibration: Annotated[
        list[Path] | None,
        typer.Option(help="File of `fiqa-fast calibrate`: is tried before the packaged ones."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Also write a picture of what each score looks at, into OUT/explanations.",
        ),
    ] = False,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="[grpc|grpcs|http|https://]HOST:PORT",
            help="Score on a server of `fiqa-fast serve`. It also finds the faces, as its"
            " repository says, unless --faces or --aligned is given. --scorer names its models;"
            " default: all that it offers. A token is read from FIQA_SERVER_TOKEN.",
        ),
    ] = None,
    server_timeout: Annotated[
        float, typer.Option(help="Seconds for an image on the server, with waiting and retries.")
    ] = DEFAULT_TIMEOUT_S,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Score face images: writes a table (Parquet and CSV) and a ranked HTML report.

    Every image becomes rows: one per face and method, or one per method with the reason where there
    is no score. Exit codes: 0 done, 1 weights, device or folder cannot be used, 2 wrong option, 3
    nothing to score, 130 interrupted (what was scored is kept; continue with --resume). With
    --server, 1 is also a server that went away; --resume continues too.
    """
    console = Console(stderr=True, markup=False)  # names of files may hold brackets
    check_policy(faces)
    policy: FacePolicy = next(p for p in get_args(FacePolicy) if p == faces)
    check_batch_size(batch_size)
    pixel_limit(max_megapixels)
    names = [name.strip() for name in scorer.split(",") if name.strip()]
    if server is not None:
        check_server_options(context)
    if resume and overwrite:
        raise InvalidArgumentError("score: expected --resume or --overwrite, got both; choose one")
    calibrations = {path: read_calibrations(path) for path in calibration or []}
    images = find_images(paths)
    first = next(images, None)
    if first is None:
        console.print(f"nothing to score: no image in {', '.join(paths)}")
        raise typer.Exit(ExitCode.NOTHING_TO_SCORE)
    mode: Mode = "resume" if resume else "overwrite" if overwrite else "new"
    job = ScoringJob(paths, chain([first], images), out, mode, console)
    if server is not None:
        score_on_server(
            job,
            server,
            server_timeout,
            names if is_given(context, "scorer") else None,
            detect="none" if aligned else "client" if is_given(context, "faces") else "server",
            faces=policy,
            all_outputs=all_outputs,
            max_megapixels=max_megapixels,
            calibrations=calibrations,
        )
        return

    options = parse_options(option or [], names)
    without_network = [n for n in names if scorer_class(n).spec.networks == (NO_NETWORK,)]
    scorers = make_scorers(
        options,
        parse_per_method(backbone or [], names, "--backbone", without_network),
        parse_per_method(weights or [], names, "--weights", without_network),
        variant=variant,
        # Calibrations hold for float32.
        precision="float32" if calibrations and precision == "auto" else precision,
        device=device,
        engine=engine,
        seed=seed,
    )
    finder = FaceFinder(
        None if aligned else YuNetDetector(),
        faces=policy,
        max_megapixels=max_megapixels,
    )
    given = [c for of_file in calibrations.values() for c in of_file]
    settings = run_settings(
        scorers,
        faces=faces,
        aligned=aligned,
        all_outputs=all_outputs,
        seed=seed,
        max_megapixels=max_megapixels,
        calibrations=sorted(c.digest for c in given),
    )
    explainer = None
    if explain:
        explainer = ExplanationWriter(job.explanations, scorers, all_outputs=all_outputs)
    job.run(
        lambda todo: score_stream(
            todo,
            scorers,
            finder=finder,
            batch_size=batch_size,
            all_outputs=all_outputs,
            calibrations=given,
            on_face=None if explainer is None else explainer.write,
        ),
        settings,
        calibrations,
        _find_used(given, scorers, all_outputs=all_outputs),
    )
    if explainer is not None:
        console.print(f"wrote pictures into {job.explanations}")
        for failure in explainer.failures:
            console.print(f"without a picture: {failure}", soft_wrap=True)


def _find_used(
    given: Sequence[Calibration], scorers: Sequence[Scorer], *, all_outputs: bool
) -> list[Calibration]:
    """The calibrations, given or packaged, that will make the qualities."""
    found = [
        find_calibration(scorer, output, given)
        for scorer in scorers
        for output in (scorer.spec.outputs if all_outputs else (scorer.output,))
    ]
    return [c for c in found if isinstance(c, Calibration)]
