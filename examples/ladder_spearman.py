"""Prints how well scorers order a ladder of degraded crops (see degradation_ladder.py).

    python examples/ladder_spearman.py out/scores.parquet out/ladder/ladder.csv -o out/ladder_table

For every scorer, output and degradation: Spearman's rho between the level, 0 (clean) to 5 (worst),
and the quality-oriented score, which is `raw_score` where higher is better and `-raw_score` where
lower is better; mean, least and greatest over the photographs. **An ideal method gives -1**: every
level scores lower than the one before. 0 means that the score does not follow the degradation.

A photograph counts only where all six levels have a score. A score that is the same on all six
levels orders nothing, and counts as rho = 0.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq
from scipy.stats import spearmanr

from fiqa_fast.errors import FiqaError, InvalidArgumentError

CLEAN = "clean"
LEVEL_COUNT = 6  # 0 is the clean crop

Output = tuple[str, str]
"""Scorer and output, such as ("grafiqs", "b2")."""

Scores = dict[Output, dict[str, float]]
"""Quality-oriented score by output and by file of the ladder."""

HEADER = (
    "Spearman's rho between the level of degradation (0 clean, 5 worst) and quality (`raw_score`,\n"
    "negated where lower is better): mean over the photographs, in brackets least and greatest.\n"
    "**An ideal method gives -1**; 0 means that the score does not follow the degradation."
)


@dataclass(frozen=True)
class Ladder:
    """The files of a ladder, by photograph and degradation.

    Attributes:
        files: every file of the ladder, relative to its folder.
        chains: (photo, degradation) -> file of each level, 0 first.
    """

    files: frozenset[str]
    chains: Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True)
class Agreement:
    """How one output follows one degradation.

    Attributes:
        mean, least, greatest: of Spearman's rho over the photographs, -1..1; None where no
            photograph has all its scores.
        photos: how many photographs count.
        left_out: how many lack a score on some level.
    """

    scorer: str
    output: str
    degradation: str
    mean: float | None
    least: float | None
    greatest: float | None
    photos: int
    left_out: int


def read_ladder(path: Path) -> Ladder:
    """Reads ladder.csv.

    Raises:
        InvalidArgumentError: a column is missing, or a photograph lacks a level.
    """
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"file", "photo", "degradation", "level"} - set(reader.fieldnames or ())
        if missing:
            raise InvalidArgumentError(
                f"{path}: expected a ladder.csv, got a file without the columns"
                f" {', '.join(sorted(missing))}; write one with degradation_ladder.py"
            )
        rows = list(reader)
    clean = {row["photo"]: row["file"] for row in rows if row["degradation"] == CLEAN}
    levels: defaultdict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for row in rows:
        if row["degradation"] != CLEAN:
            chain = levels[row["photo"], row["degradation"]]
            chain[int(row["level"])] = row["file"]
    for (photo, degradation), chain in levels.items():
        if photo in clean:
            chain[0] = clean[photo]
        if sorted(chain) != list(range(LEVEL_COUNT)):
            raise InvalidArgumentError(
                f"{path}: expected levels 0 to {LEVEL_COUNT - 1} of {degradation} for photo"
                f" {photo!r}, got {sorted(chain)}; write the ladder anew"
            )
    return Ladder(
        files=frozenset(row["file"] for row in rows),
        chains={key: tuple(chain[n] for n in range(LEVEL_COUNT)) for key, chain in levels.items()},
    )


def read_scores(path: Path, ladder_files: frozenset[str]) -> tuple[Scores, int]:
    """Reads the scores of a ladder from the table that `fiqa-fast score` wrote.

    A row belongs to the ladder's file that its path ends with (folder and name), so it does not
    matter from where the ladder was scored.

    Returns:
        The scores, and how many scored rows belong to no file of the ladder.

    Raises:
        InvalidArgumentError: a file has two scores for one output (two runs in one table, or
            several faces: the ladder has to be scored as aligned crops).
    """
    columns = ["path", "status", "scorer", "output", "raw_score", "higher_is_better"]
    table = pq.read_table(path, columns=columns)
    scores: Scores = {}
    strangers = 0
    for row in table.to_pylist():
        if row["status"] != "ok":
            continue
        file = "/".join(PurePosixPath(row["path"].replace("\\", "/")).parts[-2:])
        if file not in ladder_files:
            strangers += 1
            continue
        of_output = scores.setdefault((row["scorer"], row["output"]), {})
        if file in of_output:
            raise InvalidArgumentError(
                f"{path}: expected one {row['scorer']}/{row['output']} score for {file}, got"
                " several; score the ladder once, as aligned crops"
            )
        of_output[file] = row["raw_score"] if row["higher_is_better"] else -row["raw_score"]
    return scores, strangers


def rank_correlation(scores: Sequence[float]) -> float:
    """Spearman's rho between 0, 1, 2, ... and `scores`; 0 where all of them are equal."""
    if min(scores) == max(scores):
        return 0.0
    return float(spearmanr(range(len(scores)), scores).statistic)


def summarise(ladder: Ladder, scores: Scores) -> list[Agreement]:
    """Averages the rank correlations over the photographs, in the order of the tables read."""
    degradations = list(dict.fromkeys(degradation for _, degradation in ladder.chains))
    agreements = []
    for (scorer, output), of_file in scores.items():
        for degradation in degradations:
            chains = [c for (_, name), c in ladder.chains.items() if name == degradation]
            complete = [c for c in chains if all(file in of_file for file in c)]
            rhos = [rank_correlation([of_file[file] for file in c]) for c in complete]
            agreements.append(
                Agreement(
                    scorer=scorer,
                    output=output,
                    degradation=degradation,
                    mean=sum(rhos) / len(rhos) if rhos else None,
                    least=min(rhos, default=None),
                    greatest=max(rhos, default=None),
                    photos=len(rhos),
                    left_out=len(chains) - len(complete),
                )
            )
    return agreements


def format_markdown(agreements: Sequence[Agreement]) -> str:
    """Lays the agreements out as a Markdown table: outputs down, degradations across."""
    degradations = list(dict.fromkeys(a.degradation for a in agreements))
    cells = {(a.scorer, a.output, a.degradation): a for a in agreements}
    outputs = list(dict.fromkeys((a.scorer, a.output) for a in agreements))
    header = ["scorer", "output", *degradations, "mean"]
    lines = [HEADER, "", _row(header), _row(["---"] * 2 + ["---:"] * (len(header) - 2))]
    for scorer, output in outputs:
        row = [cells[scorer, output, degradation] for degradation in degradations]
        means = [a.mean for a in row if a.mean is not None]
        overall = f"{sum(means) / len(means):+.2f}" if len(means) == len(row) else "-"
        lines.append(_row([scorer, output, *map(_cell, row), overall]))
    left_out = [a for a in agreements if a.left_out]
    if left_out:
        lines += ["", "Photographs left out because a level has no score:", ""]
        lines += [f"- {a.scorer}/{a.output}, {a.degradation}: {a.left_out}" for a in left_out]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(agreement: Agreement) -> str:
    if agreement.mean is None:
        return "-"
    return f"{agreement.mean:+.2f} [{agreement.least:+.2f}, {agreement.greatest:+.2f}]"


def write_csv(agreements: Iterable[Agreement], path: Path) -> None:
    """Writes one row per output and degradation, with full precision."""
    names = ("scorer", "output", "degradation", "mean", "least", "greatest", "photos", "left_out")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for agreement in agreements:
            values = (getattr(agreement, name) for name in names)
            writer.writerow(["" if value is None else value for value in values])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 1 if nothing could be compared."""
    parser = argparse.ArgumentParser(
        description="Spearman's rho between degradation level and quality, per scorer."
        " An ideal method gives -1."
    )
    parser.add_argument("scores", type=Path, help="scores.parquet of the ladder")
    parser.add_argument("ladder", type=Path, help="ladder.csv of the ladder")
    parser.add_argument("-o", "--output", type=Path, help="write OUTPUT.md and OUTPUT.csv too")
    options = parser.parse_args(arguments)
    try:
        ladder = read_ladder(options.ladder)
        scores, strangers = read_scores(options.scores, ladder.files)
    except (FiqaError, OSError) as error:
        parser.error(str(error))
    if strangers:
        print(f"{strangers} rows belong to no file of the ladder: ignored", file=sys.stderr)
    if not scores:
        print(f"{options.scores}: no score of a file of {options.ladder}", file=sys.stderr)
        return 1
    agreements = summarise(ladder, scores)
    markdown = format_markdown(agreements)
    print(markdown, end="")
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        # Not with_suffix: it would cut a name such as "ladder.v2".
        options.output.with_name(options.output.name + ".md").write_text(markdown, encoding="utf-8")
        write_csv(agreements, options.output.with_name(options.output.name + ".csv"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
