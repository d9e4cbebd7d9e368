"""Options that several commands share: methods, their networks, and where results go."""

from __future__ import annotations

from typing import Annotated

import typer

MethodOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", help="A method's parameter, such as faceqan.k=5 or grafiqs.output=b1."
    ),
]
AllOutputs = Annotated[
    bool, typer.Option("--all-outputs", help="Every output of each method, a row each.")
]
Variant = Annotated[
    str, typer.Option("--variant", help="official (published tables used it) or paper.")
]
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        metavar="[METHOD=]NAME",
        help="Network, for all methods or for one; default: what the weights hold, or sface.",
    ),
]
WeightsFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="[METHOD=]FILE",
        help="Weights file, for all methods or for one; default: the packaged SFace.",
    ),
]
Precision = Annotated[
    str,
    typer.Option("--precision", help="auto, float32 (the reference), float64, bf16, fp16 or int8."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Verify = Annotated[
    list[str] | None,
    typer.Option(
        "--verify",
        metavar="[LABEL=]NAME|FILE",
        help="Recognition network that compares: one with packaged weights, or a weights file; may"
        " be repeated. Default: sface.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the interrupted run in the output folder.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results in the output folder.")
]
