"""The command `fiqa-fast`: one verb per file.

Exit codes: 0 done (images without a score are rows, not errors); 1 something needed is missing or
cannot be used (weights, device, output folder); 2 a wrong option or argument; 3 nothing to score;
130 interrupted.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from fiqa_fast.cli.benchmark import benchmark
from fiqa_fast.cli.calibrate import calibrate
from fiqa_fast.cli.doctor import doctor
from fiqa_fast.cli.evaluate import evaluate
from fiqa_fast.cli.exit_codes import ExitCode
from fiqa_fast.cli.export import export
from fiqa_fast.cli.models import models
from fiqa_fast.cli.report import report
from fiqa_fast.cli.score import score
from fiqa_fast.cli.serve import serve
from fiqa_fast.cli.train import train
from fiqa_fast.cli.weights import weights
from fiqa_fast.errors import FiqaError, InvalidArgumentError

app = typer.Typer(
    name="fiqa-fast",
    help="Face image quality assessment, fast and exact.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _verb in (score, calibrate, evaluate, report, models, export, doctor):
    app.command()(_verb)
app.add_typer(benchmark)
app.add_typer(train)
app.add_typer(weights)
app.add_typer(serve)


def main() -> None:
    """Runs the command line; turns the package's errors into messages and exit codes."""
    try:
        app(prog_name="fiqa-fast")
    except FiqaError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        wrong_argument = isinstance(error, InvalidArgumentError)
        sys.exit(ExitCode.USAGE if wrong_argument else ExitCode.UNAVAILABLE)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
