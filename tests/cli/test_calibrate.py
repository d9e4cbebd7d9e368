import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiqa_fast.calibration import read_calibrations
from fiqa_fast.results import SCHEMA

FACES = 60


def make_rows(**changes):
    """Rows of a method whose higher scores are better: face i has the raw score i / 10."""
    return [
        {
            "path": f"{i}.jpg",
            "face_index": 0,
            "status": "ok",
            "scorer": "embedding-norm",
            "output": "score",
            "raw_score": i / 10,
            "higher_is_better": True,
            "backbone": "sface",
            "weights_sha256": "ab" * 32,
            "bn_statistics": "training",
            "variant": "official",
            "parameters": "{}",
            "precision": "float32",
            "version": "0.1.0",
        }
        | changes
        for i in range(FACES)
    ]


def write_table(path, rows):
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


@pytest.fixture
def table(tmp_path):
    """Two outputs, and an image without a face."""
    blank = make_rows()[0] | {"path": "blank.jpg", "status": "failed", "raw_score": None}
    lower = make_rows(scorer="grafiqs", output="b2", higher_is_better=False)
    return write_table(tmp_path / "scores.parquet", [*make_rows(), *lower, blank])


@pytest.fixture
def pairs(tmp_path):
    """Mated comparisons of a face with itself: those of the six worst faces score too low."""
    lines = ["sample_a,sample_b,mated,comparison_score"]
    lines += [f"{i}.jpg,{i}.jpg,1,{0.1 if i < 6 else 0.9}" for i in range(FACES)]
    lines += [f"{i}.jpg,{(i + 1) % FACES}.jpg,0,{i / 1000}" for i in range(FACES)]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join([*lines, "0.jpg,blank.jpg,1,0.5"]))
    return path


def test_one_calibration_for_every_output(fiqa_fast_command, table, tmp_path):
    out = tmp_path / "cal.json"
    code, stdout, err = fiqa_fast_command(
        "calibrate", table, "-o", out, "--reference-set", "sixty numbers"
    )
    assert code == 0, err
    norm, grafiqs = read_calibrations(out)
    assert (norm.source.scorer, norm.source.output) == ("embedding-norm", "score")
    assert (grafiqs.source.scorer, grafiqs.source.output) == ("grafiqs", "b2")
    for calibration in (norm, grafiqs):
        assert calibration.reference_set == "sixty numbers"
        assert calibration.face_count == FACES
        assert calibration.scale.kind == "percentile"
        assert calibration.discard is None
    assert norm.quality(5.9) == 100
    assert grafiqs.quality(5.9) == 0
    assert norm.quality(2.95) == pytest.approx(50)
    for text in ("2 calibrations", "embedding-norm", "grafiqs b2", "1.475", "2.95", "4.425"):
        assert text in stdout
    assert str(out) in err


def test_sigmoids(fiqa_fast_command, table, tmp_path):
    out = tmp_path / "cal.json"
    assert fiqa_fast_command("calibrate", table, "-o", out, "--kind", "sigmoid")[0] == 0
    norm, grafiqs = read_calibrations(out)
    assert norm.scale.kind == "sigmoid"
    assert norm.reference_set == str(table)
    raw = np.arange(FACES) / 10
    quartiles = np.percentile(raw, (25, 50, 75)).tolist()
    assert [norm.quality(q) for q in quartiles] == pytest.approx([25, 50, 75])
    assert [grafiqs.quality(q) for q in quartiles] == pytest.approx([75, 50, 25])


def test_a_threshold_for_a_discard_fraction(fiqa_fast_command, table, pairs, tmp_path):
    out = tmp_path / "cal.json"
    code, stdout, err = fiqa_fast_command(
        *("calibrate", table, "-o", out, "--comparisons", pairs, "--fmr", "0.1")
    )
    assert code == 0, err
    norm, grafiqs = (c.discard for c in read_calibrations(out))
    assert (norm.target, norm.target_value, norm.fmr) == ("discard_fraction", 0.05, 0.1)
    assert (norm.mated_count, norm.non_mated_count, norm.fmr_reached) == (60, 60, 0.1)
    assert (norm.fnmr_before, norm.discard_fraction, norm.raw_score) == (0.0, 0.05, 0.3)
    assert norm.decision_threshold == pytest.approx(0.053)
    assert grafiqs.raw_score == 5.6
    assert (norm.quality, grafiqs.quality) == pytest.approx((100 * 3 / 59, 100 * 3 / 59))
    assert norm.warnings == ("1 mated comparisons have a sample without a score: left out",)
    for text in ("Discard faces below", "5.0%", "1 mated comparisons have a sample without"):
        assert text in stdout


def test_a_threshold_for_an_fnmr(fiqa_fast_command, table, pairs, tmp_path):
    harder = pairs.read_text().replace(",0.1\n", ",0.01\n")
    pairs.write_text(harder)
    out = tmp_path / "cal.json"
    code, stdout, err = fiqa_fast_command(
        *("calibrate", table, "-o", out, "--comparisons", pairs, "--fmr", "0.1"),
        *("--target-fnmr", "0.02"),
    )
    assert code == 0, err
    norm, grafiqs = (c.discard for c in read_calibrations(out))
    # Six of 60 fail at first; with the five worst faces gone it is one of 55.
    assert (norm.fnmr_before, norm.fnmr_after) == (0.1, 1 / 55)
    assert (norm.raw_score, norm.discard_fraction) == (0.5, 5 / 60)
    assert norm.face_discard_fraction == 5 / 60
    # Where lower is better, the six faces are the best ones: all others would have to go.
    assert grafiqs.quality is grafiqs.raw_score is None
    assert "grafiqs b2 (official): no threshold reaches an FNMR of 0.02" in stdout
    assert "none" in stdout


def test_an_fmr_that_cannot_be_resolved(fiqa_fast_command, table, pairs, tmp_path):
    out = tmp_path / "cal.json"
    code, stdout, err = fiqa_fast_command("calibrate", table, "-o", out, "--comparisons", pairs)
    assert code == 0, err
    both = "embedding-norm (official), grafiqs b2 (official)"
    assert f"{both}: 60 non-mated comparisons cannot resolve an FMR of 0.001" in stdout
    assert read_calibrations(out)[0].discard.fmr == 1e-3


def test_a_file_is_replaced_only_when_asked(fiqa_fast_command, table, tmp_path):
    out = tmp_path / "cal.json"
    out.write_text("precious")
    code, _, err = fiqa_fast_command("calibrate", table, "-o", out)
    assert (code, out.read_text()) == (1, "precious")
    assert "replace it with --overwrite" in " ".join(err.split())
    assert fiqa_fast_command("calibrate", table, "-o", out, "--overwrite")[0] == 0
    assert len(json.loads(out.read_text())["calibrations"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cal.json", "scores.parquet"]


def test_a_folder_that_does_not_exist(fiqa_fast_command, table, tmp_path):
    code, _, err = fiqa_fast_command("calibrate", table, "-o", tmp_path / "none" / "cal.json")
    assert code == 1
    assert "choose another file" in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--kind", "spline"), "one of percentile, sigmoid, got 'spline'"),
        (("--discard-fraction", "0.1"), "expected --comparisons with"),
        (("--target-fnmr", "0.1"), "expected --comparisons with"),
        (("--discard-fraction", "0.1", "--target-fnmr", "0.1"), "got both"),
        (("--comparisons", "none.csv"), "readable CSV file of comparisons, got none.csv"),
        (("--comparisons", "PAIRS", "--discard-fraction", "1"), "0 <= discard_fraction < 1"),
        (("--comparisons", "PAIRS", "--fmr", "0"), "0 < fmr < 1"),
    ],
)
def test_wrong_options(fiqa_fast_command, table, pairs, tmp_path, arguments, message):
    given = [pairs if a == "PAIRS" else a for a in arguments]
    code, _, err = fiqa_fast_command("calibrate", table, "-o", tmp_path / "cal.json", *given)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "cal.json").exists()


def test_comparisons_of_images_that_were_not_scored(fiqa_fast_command, table, pairs, tmp_path):
    pairs.write_text(pairs.read_text() + "\nelsewhere/0.jpg,0.jpg,1,0.5\n")
    code, _, err = fiqa_fast_command(
        "calibrate", table, "-o", tmp_path / "cal.json", "--comparisons", pairs
    )
    assert code == 2
    assert "got 1 others, such as 'elsewhere/0.jpg'" in " ".join(err.split())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (make_rows()[:19], "embedding-norm: calibration: expected at least 20 faces"),
        (make_rows(precision="bf16"), "got some in bf16; score the images again"),
        (make_rows(status="failed", raw_score=None), "got none among 60 rows"),
        ([], "got none among 0 rows"),
    ],
)
def test_tables_that_cannot_be_calibrated(fiqa_fast_command, tmp_path, rows, message):
    path = write_table(tmp_path / "scores.parquet", rows)
    code, _, err = fiqa_fast_command("calibrate", path, "-o", tmp_path / "cal.json")
    assert code == 2
    assert message in " ".join(err.split())


def test_a_table_of_something_else(fiqa_fast_command, tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"path": ["a.jpg"]}), path)
    code, _, err = fiqa_fast_command("calibrate", path, "-o", tmp_path / "cal.json")
    assert code == 2
    assert "without the columns status, raw_score" in " ".join(err.split())


def test_from_images_to_qualities(fiqa_fast_command, golden_dir, crop_names, tmp_path):
    """The reference faces themselves get the qualities of their ranks."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in crop_names:
        content = (golden_dir / "crops" / name).read_bytes()
        for copy in range(2):
            (folder / f"{copy}_{name}").write_bytes(content)
    arguments = ("score", folder, "--aligned", "--scorer", "embedding-norm", "-o", tmp_path / "out")
    assert fiqa_fast_command(*arguments)[0] == 0
    scores, cal = tmp_path / "out" / "scores.parquet", tmp_path / "cal.json"
    assert fiqa_fast_command("calibrate", scores, "-o", cal)[0] == 0
    assert fiqa_fast_command(*arguments, "--overwrite", "--calibration", cal)[0] == 0
    found = pq.read_table(scores).to_pylist()
    raw = np.array([row["raw_score"] for row in found])
    quality = np.array([row["quality"] for row in found])
    rank = np.array([np.mean(raw < r) + np.mean(raw == r) / 2 for r in raw])
    np.testing.assert_allclose(quality, 100 * rank, atol=2.0)
    np.testing.assert_array_equal(
        np.argsort(raw, kind="stable"), np.argsort(quality, kind="stable")
    )
