from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.report.latex import escape_latex, table_as_latex
from fiqa_fast.report.tables.model import Cell, Column, Row, Table

TABLE = Table(
    name="t",
    options={"Data set": "LFW\n50%"},
    caption="Areas",
    heads=("Method",),
    columns=(Column("x", "G_1"), Column("y", "G_1"), Column("z", words=True)),
    rows=(
        Row(("a_b",), (Cell("0.1", 0.1, 0.05, 0.2, best=True), Cell("\u22122", -2.0), Cell("50%"))),
        Row(("[c]",), (Cell("0.2", 0.2), Cell("\N{EN DASH}"), Cell("&"))),
    ),
)


def test_a_table_is_a_tabular_with_booktabs() -> None:
    lines = table_as_latex(TABLE).splitlines()

    assert lines[0] == "% Areas. Data set: LFW 50%"  # one line: a comment ends with it
    assert lines[2:] == [
        r"\begin{tabular}{lrrl}",
        r"\toprule",
        r" & \multicolumn{2}{c}{G\_1} & \multicolumn{1}{c}{} \\",
        r"\cmidrule(lr){2-3}",
        r"Method & x & y & z \\",
        r"\midrule",
        r"a\_b & \textbf{0.1} {\scriptsize [0.0500, 0.200]} & $-$2 & 50\% \\",
        r"{[c]} & 0.2 & -- & \& \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_no_special_character_is_left(text: str) -> None:
    escaped = escape_latex(text)
    known = re.compile(
        r"\\text(?:backslash|asciitilde|asciicircum|less|greater|bar|quotedbl)\{\}|\\ldots\{\}"
        r"|\$-\$|\\[&%$#_{}]"
    )
    assert not re.search(r"[\\&%$#_{}~^<>|\"\n]", known.sub("", escaped))


def test_ordinary_text_stays() -> None:
    assert escape_latex("grafiqs/b2 (run 1)") == "grafiqs/b2 (run 1)"
