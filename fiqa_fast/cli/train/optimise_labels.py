"""`fiqa-fast train optimise-labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fiqa_fast.cli.output_folder import make_folder
from fiqa_fast.cli.train.labels import optimise as optimise_order
from fiqa_fast.cli.train.labels import read_labels, require_all, write_labels
from fiqa_fast.cli.train.options import Data, Method
from fiqa_fast.evaluation.embedding_files import read_embeddings
from fiqa_fast.training.data.forms import open_training_set


def optimise(
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="CSV file (sample,METHOD+opt).")],
    scores: Annotated[
        Path,
        typer.Option(help="Labels of the samples: of `fiqa-fast score`, or CSV (sample,METHOD)."),
    ],
    embeddings: Annotated[
        Path, typer.Option(help="Of the samples: .npy with .txt, .npz or .parquet.")
    ],
    method: Method = None,
    clusters: Annotated[int, typer.Option(help="C, for each identity.")] = 20,
    theta: Annotated[float, typer.Option(help="How far ranks move.")] = 0.001,
    repeats: Annotated[int, typer.Option(help="R, how often pairs are drawn.")] = 10,
    variant: Annotated[str, typer.Option(help="official or paper.")] = "official",
    index_scale: Annotated[
        str, typer.Option(help="pairs (as coded) or samples (rescaled).")
    ] = "pairs",
    seed: Annotated[int, typer.Option(help="Of clusters and pairs.")] = 0,
) -> None:
    """Optimise the order of quality labels by the similarities of mated pairs.

    An interrupted run goes on after its last repeat when it is started again.
    """
    console = Console(stderr=True, markup=False)
    training_set = open_training_set(data)
    labels = read_labels(scores, method, training_set)
    require_all(labels, training_set)
    make_folder(out.parent, "train")
    found = read_embeddings(embeddings, list(training_set.samples))
    optimised = optimise_order(
        labels,
        found.embeddings,
        training_set,
        out.with_name(f".{out.name}.progress"),
        console,
        clusters=clusters,
        theta=theta,
        repeats=repeats,
        seed=seed,
        variant=variant,
        index_scale=index_scale,
    )
    write_labels(out, training_set, optimised)
    console.print(f"wrote {out}")
