from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiqa_fast.errors import InvalidArgumentError

PHOTOS = ("p", "q")
DEGRADATIONS = ("blur", "noise")


def file_of(photo: str, degradation: str, level: int) -> str:
    return f"{degradation}/{photo}__{degradation}_{level}.png" if level else f"clean/{photo}.png"


@pytest.fixture
def ladder_csv(tmp_path: Path) -> Path:
    path = tmp_path / "ladder.csv"
    rows = [(file_of(p, "", 0), p, "clean", 0, "") for p in PHOTOS]
    rows += [
        (file_of(p, d, n), p, d, n, n / 2)
        for p in PHOTOS
        for d in DEGRADATIONS
        for n in range(1, 6)
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "photo", "degradation", "level", "parameter"), *rows])
    return path


def score_rows(
    scores: dict[tuple[str, str], list[float]],
    *,
    scorer: str = "faceqan",
    output: str = "score",
    higher_is_better: bool = True,
    root: str = "/data/ladder",
) -> list[dict[str, Any]]:
    """Rows for {(photo, degradation): six raw scores}; level 0 is taken from the first."""
    raw = {
        file_of(photo, degradation, level): value
        for (photo, degradation), values in reversed(scores.items())
        for level, value in enumerate(values)
    }
    return [
        {
            "path": f"{root}/{file}",
            "status": "ok",
            "scorer": scorer,
            "output": output,
            "raw_score": value,
            "higher_is_better": higher_is_better,
        }
        for file, value in raw.items()
    ]


def write_scores(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


FALLING = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
SWAPPED = [6.0, 4.0, 5.0, 3.0, 2.0, 1.0]  # rho = -(1 - 6*2/210)


def test_mean_least_and_greatest(ladder_spearman: Any, ladder_csv: Path, tmp_path: Path) -> None:
    rows = score_rows(
        {
            ("p", "blur"): FALLING,
            ("q", "blur"): SWAPPED,
            ("p", "noise"): FALLING,
            ("q", "noise"): [6.0, 7.0, 8.0, 9.0, 10.0, 11.0],
        }
    )
    ladder = ladder_spearman.read_ladder(ladder_csv)
    scores, strangers = ladder_spearman.read_scores(
        write_scores(tmp_path / "s.parquet", rows), ladder.files
    )

    blur, noise = ladder_spearman.summarise(ladder, scores)

    assert strangers == 0
    assert (blur.degradation, blur.photos, blur.left_out) == ("blur", 2, 0)
    assert blur.least == pytest.approx(-1)
    assert blur.greatest == pytest.approx(-(1 - 12 / 210))
    assert blur.mean == pytest.approx((-1 - (1 - 12 / 210)) / 2)
    assert (noise.least, noise.greatest) == (pytest.approx(-1), pytest.approx(1))
    assert noise.mean == pytest.approx(0)


def test_scores_where_lower_is_better_are_turned(
    ladder_spearman: Any, ladder_csv: Path, tmp_path: Path
) -> None:
    rising = [-value for value in FALLING]
    every = {(p, d): rising for p in PHOTOS for d in DEGRADATIONS}
    rows = score_rows(every, scorer="grafiqs", output="b2", higher_is_better=False)
    path = write_scores(tmp_path / "s.parquet", rows)
    ladder = ladder_spearman.read_ladder(ladder_csv)

    agreements = ladder_spearman.summarise(
        ladder, ladder_spearman.read_scores(path, ladder.files)[0]
    )

    assert [a.mean for a in agreements] == [pytest.approx(-1)] * 2
    assert {(a.scorer, a.output) for a in agreements} == {("grafiqs", "b2")}


def test_a_constant_score_orders_nothing(ladder_spearman: Any) -> None:
    assert ladder_spearman.rank_correlation([3.0] * 6) == 0


def test_a_photograph_with_a_missing_level_is_left_out(
    ladder_spearman: Any, ladder_csv: Path, tmp_path: Path
) -> None:
    rows = score_rows({(p, d): FALLING for p in PHOTOS for d in DEGRADATIONS})
    for row in rows:
        if row["path"].endswith("blur/q__blur_5.png") or "noise_2" in row["path"]:
            row |= {"status": "failed", "raw_score": None}
    ladder = ladder_spearman.read_ladder(ladder_csv)
    scores, _ = ladder_spearman.read_scores(
        write_scores(tmp_path / "s.parquet", rows), ladder.files
    )

    blur, noise = ladder_spearman.summarise(ladder, scores)

    assert (blur.photos, blur.left_out) == (1, 1)
    assert blur.mean == pytest.approx(-1)
    assert (noise.photos, noise.left_out, noise.mean) == (0, 2, None)
    markdown = ladder_spearman.format_markdown([blur, noise])
    assert "| faceqan | score | -1.00 [-1.00, -1.00] | - | - |" in markdown
    assert "- faceqan/score, noise: 2" in markdown


def test_the_command_prints_and_writes(
    ladder_spearman: Any, ladder_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = {(p, d): FALLING for p in PHOTOS for d in DEGRADATIONS}
    rows = score_rows(every, root="elsewhere")
    rows += score_rows({("stranger", "blur"): FALLING})
    path = write_scores(tmp_path / "s.parquet", rows)
    base = tmp_path / "new" / "table.v2"

    assert ladder_spearman.main([str(path), str(ladder_csv), "-o", str(base)]) == 0

    printed = capsys.readouterr()
    assert "An ideal method gives -1" in printed.out
    assert "| scorer | output | blur | noise | mean |" in printed.out
    assert "| -1.00 [-1.00, -1.00] | -1.00 [-1.00, -1.00] | -1.00 |" in printed.out
    assert "6 rows belong to no file" in printed.err
    assert (tmp_path / "new" / "table.v2.md").read_text(encoding="utf-8") == printed.out
    with (tmp_path / "new" / "table.v2.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [(row["degradation"], row["photos"]) for row in written] == [
        ("blur", "2"),
        ("noise", "2"),
    ]
    assert float(written[0]["mean"]) == pytest.approx(-1)


def test_other_tables_give_no_result(
    ladder_spearman: Any, ladder_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_scores(tmp_path / "s.parquet", score_rows({("stranger", "blur"): FALLING}))

    assert ladder_spearman.main([str(path), str(ladder_csv)]) == 1
    assert "no score of a file of" in capsys.readouterr().err


def test_two_scores_of_one_file_are_refused(
    ladder_spearman: Any, ladder_csv: Path, tmp_path: Path
) -> None:
    rows = score_rows({("p", "blur"): FALLING})
    path = write_scores(tmp_path / "s.parquet", rows + rows[:1])
    files = ladder_spearman.read_ladder(ladder_csv).files

    with pytest.raises(InvalidArgumentError, match="got several"):
        ladder_spearman.read_scores(path, files)


def test_a_damaged_ladder_is_refused(ladder_spearman: Any, ladder_csv: Path) -> None:
    lines = ladder_csv.read_text().splitlines()
    ladder_csv.write_text("\n".join(line for line in lines if "p__blur_3" not in line))
    with pytest.raises(InvalidArgumentError, match=r"blur for photo 'p', got \[0, 1, 2, 4, 5\]"):
        ladder_spearman.read_ladder(ladder_csv)

    ladder_csv.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidArgumentError, match="degradation, file, level, photo"):
        ladder_spearman.read_ladder(ladder_csv)
