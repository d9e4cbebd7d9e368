"""`fiqa-fast doctor`: what runs here, and why something does not."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fiqa_fast.diagnosis import diagnose

_MARKS = {True: "[green]yes[/green]", False: "[yellow]no[/yellow]", None: ""}


def doctor() -> None:
    """Show versions, the compiled extension, CPU and GPU features, engines and default weights."""
    table = Table(title="fiqa-fast doctor", title_justify="left", show_header=False)
    for _ in range(4):
        table.add_column(overflow="fold")
    section = ""
    for finding in diagnose():
        if section and finding.section != section:
            table.add_section()
        heading = finding.section if finding.section != section else ""
        section = finding.section
        table.add_row(
            f"[bold]{heading}[/bold]", finding.name, _MARKS[finding.usable], finding.detail
        )
    Console().print(table)
