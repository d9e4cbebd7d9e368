"""Tables as LaTeX for papers: booktabs, names escaped, the best in bold, intervals in brackets."""

from __future__ import annotations

import re

from fiqa_fast.report.choices import describe
from fiqa_fast.report.tables.model import Cell, Source, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{REPLACEMENT CHARACTER}": "?",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SPECIAL_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


def escape_latex(text: str) -> str:
    """Text that reads as it is in LaTeX."""
    return _SPECIAL_PATTERN.sub(lambda found: _SPECIAL[found.group()], " ".join(text.split()))


def table_as_latex(table: Table) -> str:
    """A `tabular` with a comment that says what it shows; needs the package booktabs."""
    head_count = len(table.heads)
    layout = "l" * head_count + "".join("l" if column.words else "r" for column in table.columns)
    facts = ". ".join(filter(None, (table.caption, describe(table.options), table.remark)))
    lines = [
        f"% {' '.join(facts.split())}",
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
    ]
    if any(group for group, _ in table.groups):
        lines += _group_lines(table)
    labels = [*table.heads, *(column.label for column in table.columns)]
    lines += [_line([escape_latex(label) for label in labels]), r"\midrule"]
    lines += [_line([*map(escape_latex, row.heads), *map(_cell, row.cells)]) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}", *map(_source_line, table.sources)]
    return "\n".join(lines) + "\n"


def _group_lines(table: Table) -> list[str]:
    """Headings that span several columns, and the rules below them."""
    entries, rules = [""] * len(table.heads), []
    column = len(table.heads) + 1
    for group, span in table.groups:
        entries.append(rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(group)}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [_line(entries), "".join(rules)]


def _cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    if cell.best:
        text = rf"\textbf{{{text}}}"
    beside = [escape_latex(cell.interval), escape_latex(cell.change_text), _published(cell)]
    small = " ".join(filter(None, beside))
    return rf"{text} {{\scriptsize {small}}}" if small else text


def _published(cell: Cell) -> str:
    """Published values with the marks of their sources, and the share that they compare with."""
    times = "\N{MULTIPLICATION SIGN}"
    texts = [
        rf"\textit{{{one.text}}}\textsuperscript{{{one.source.mark}}}" for one in cell.published
    ]
    if cell.relative is not None and any(one.relative for one in cell.published):
        texts.insert(0, f"{cell.relative:.3f}{times}")
    return " ".join(texts).replace(times, r"$\times$")


def _source_line(source: Source) -> str:
    """A paragraph below the table, which may be wider than it."""
    return rf"\par{{\scriptsize\textsuperscript{{{source.mark}}} {escape_latex(source.text)}\par}}"


def _line(entries: list[str]) -> str:
    # A row that starts with a bracket would be taken for an argument of the row before.
    cells = [rf"{{{entry}}}" if entry.startswith("[") else entry for entry in entries]
    return " & ".join(cells) + r" \\"
