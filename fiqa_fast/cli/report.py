"""`fiqa-fast report`: makes the report of a table again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from fiqa_fast.errors import ResultsError
from fiqa_fast.report.html import write_report


def report(
    folder: Annotated[Path, typer.Argument(help="The output folder of `fiqa-fast score`.")],
    max_faces: Annotated[
        int, typer.Option(help="On a contact sheet; of more, the best and the worst are shown.")
    ] = 240,
) -> None:
    """Write report.html again from scores.parquet; the photographs must still be there."""
    table_path = folder / "scores.parquet"
    try:
        table = pq.read_table(table_path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ResultsError(
            f"report: expected a readable {table_path}, got {type(error).__name__};"
            " run `fiqa-fast score` first (with --resume if it was interrupted)"
        ) from error
    destination = folder / "report.html"
    write_report(table, destination, title="Face image quality", settings={}, max_faces=max_faces)
    typer.echo(f"wrote {destination}")
