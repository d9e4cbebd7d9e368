"""`fiqa-fast export`: a method on a network as a file for another engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fiqa_fast.cli.crops import find_crops
from fiqa_fast.cli.options import parse_options
from fiqa_fast.engines.export import SUFFIXES, TARGETS, export_scorer
from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.scorers.registry import create_scorer


def export(
    scorer: Annotated[str, typer.Argument(help="A method; see `fiqa-fast models`.")],
    to: Annotated[
        str,
        typer.Option(
            help="onnx, openvino, tensorrt (a plan for this machine's GPU) or tensorrt-rtx (a plan"
            " for several GPUs, built without one)."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the file.")],
    network: Annotated[
        str | None, typer.Option(help="Network; default: what the weights hold, or sface.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights file; default: the packaged SFace.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, bf16, or int8 (openvino, with --calibration).")
    ] = "fp32",
    variant: Annotated[
        str, typer.Option(help="official (published tables used it) or paper.")
    ] = "official",
    option: Annotated[
        list[str] | None, typer.Option(help="A method's parameter, such as faceqan.k=5.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random draws of faceqan and ser-fiq.")] = 0,
    all_outputs: Annotated[
        bool, typer.Option("--all-outputs", help="Every output of the method, a column each.")
    ] = False,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="The file also gives the network's embedding.")
    ] = False,
    calibration: Annotated[
        list[str] | None,
        typer.Option(help="For int8: photographs or crops to measure activation ranges over."),
    ] = None,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Take calibration images as aligned crops.")
    ] = False,
    gpu: Annotated[
        list[str] | None,
        typer.Option(help="For tensorrt-rtx: GPUs by architecture, such as SM86; default: all."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the file, without its ending.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file to be written.")
    ] = False,
) -> None:
    """Write a method on a network as one file for ONNX Runtime, OpenVINO or TensorRT.

    The file takes crops, uint8 RGB [B, 112, 112, 3], and gives raw_score, float32 [B, O]; faceqan
    and ser-fiq take their random draws as a second input. Gradient methods need no autograd there.
    Exit codes: 0 done, 1 a package, weights or folder cannot be used, 2 wrong option.
    """
    if to not in TARGETS:
        raise InvalidArgumentError(
            f"export: expected --to to be one of {', '.join(TARGETS)}, got {to!r};"
            " choose the engine that will run it"
        )
    if calibration and precision != "int8":
        raise InvalidArgumentError(
            f"export: expected --calibration with --precision int8, got {precision}; leave it out"
        )
    path = out / f"{name or scorer}{SUFFIXES[to]}"
    if path.exists() and not overwrite:
        raise ResultsError(
            f"export: expected a file that does not exist, got {path}; choose another folder or"
            " name, or replace it with --overwrite"
        )
    options = parse_options(option or [], [scorer])[scorer]
    made = create_scorer(
        scorer,
        backbone=network,
        weights=weights,
        variant=variant,
        precision="float32",
        device="cpu",
        seed=seed,
        **options,
    )
    written = export_scorer(
        made,
        to,
        out,
        precision=precision,
        name=name,
        outputs=None if all_outputs else (made.output,),
        with_embedding=embedding,
        calibration=find_crops(calibration, aligned=aligned) if calibration else None,
        compute_capabilities=gpu,
    )
    size_mb = sum(f.stat().st_size for f in out.glob(f"{written.stem}.*")) / 1e6
    Console(stderr=True).print(f"wrote {written} ({size_mb:.1f} MB)", markup=False, soft_wrap=True)
