"""`fiqa-fast train`: CR-FIQA, distilling any method into one pass, optimising labels."""

from __future__ import annotations

import typer

from fiqa_fast.cli.train.cr_fiqa import cr_fiqa
from fiqa_fast.cli.train.distill import distill
from fiqa_fast.cli.train.optimise_labels import optimise

train = typer.Typer(
    name="train",
    help="Train networks with a quality head; optimise quality labels.",
    no_args_is_help=True,
)
train.command("cr-fiqa")(cr_fiqa)
train.command()(distill)
train.command("optimise-labels")(optimise)
