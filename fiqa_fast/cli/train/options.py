"""Options that the commands of `fiqa-fast train` share, and what they show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Aligned crops: a folder with a sub-folder for each identity, insightface's train.rec,"
        " or WebDataset shards (shard-{000000..000099}.tar).",
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for checkpoints and results.")]
Method = Annotated[
    str | None, typer.Option(help="Which method of the file; needed where it has several.")
]
CheckImages = Annotated[
    bool,
    typer.Option(
        "--check-images", help="Decode every image before the training; thousands a second."
    ),
]
SkipUnreadable = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable", help="The same, but leave unreadable images out instead of stopping."
    ),
]
Evaluate = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluate",
        metavar="DATA_SET",
        help="Log areas under the EDC on it while the network learns: a data set as of `fiqa-fast"
        " evaluate`; may be repeated.",
    ),
]
EvaluationData = Annotated[
    Path | None, typer.Option("--data", help="Folder of the data sets of --evaluate.")
]
EvaluationAligned = Annotated[
    bool | None,
    typer.Option("--aligned/--detect", help="Whether the images of --evaluate are aligned crops."),
]
EvaluationFmr = Annotated[
    float, typer.Option("--evaluate-fmr", help="False match rate of the threshold of --evaluate.")
]


def show_step(console: Console, step: int, values: Mapping[str, float]) -> None:
    """Prints the numbers of a step."""
    text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    console.print(f"step {step}: {text}", soft_wrap=True)
