import csv
import dataclasses
import math

import pytest

from fiqa_fast.errors import FiqaError, InvalidArgumentError
from fiqa_fast.evaluation.published import (
    COLUMNS,
    MEASURES,
    PublishedValue,
    published_values,
    read_published,
)

AUC = {
    "paper": "A paper, of two authors", "table": "Table 2", "data_set": "CFP-FP",
    "method": "CR-FIQA(S)", "verification_network": "ArcFace", "measure": "auc", "fmr": "0.001",
    "limit": "0.95", "value": "0.0301", "source": "the PDF, page 7",
}  # fmt: skip
TAR = AUC | {"data_set": "IJB-C", "measure": "tar", "fmr": "1e-5", "limit": "", "value": "0.9"}

CLIB_FIQA_AVERAGES = {
    ("Table 1", 0.3): {"PFE": 0.714, "SER-FIQ": 0.814, "MagFace": 0.793},
    ("Table 1", 0.95): {
        "PFE": 0.516, "SER-FIQ": 0.658, "MagFace": 0.576, "FaceQAN": 0.459, "SDD-FIQA": 0.498,
        "CR-FIQA": 0.431, "CLIB-FIQA": 0.398,
    },
    ("Table 2", 0.3): {
        "PFE": 0.731, "SER-FIQ": 0.827, "MagFace": 0.814, "FaceQAN": 0.718, "FaceQnet": 0.796,
        "PCNet": 0.747, "SDD-FIQA": 0.775, "CR-FIQA": 0.688, "CLIB-FIQA": 0.665,
    },
    ("Table 2", 0.95): {
        "PFE": 0.537, "SER-FIQ": 0.695, "MagFace": 0.608, "FaceQAN": 0.472, "FaceQnet": 0.628,
        "PCNet": 0.526, "SDD-FIQA": 0.523, "CR-FIQA": 0.439, "CLIB-FIQA": 0.419,
    },
    ("Table 3", 0.3): {
        "PFE": 0.736, "SER-FIQ": 0.824, "MagFace": 0.799, "FaceQAN": 0.716, "FaceQnet": 0.774,
        "PCNet": 0.75, "SDD-FIQA": 0.754, "CR-FIQA": 0.683, "CLIB-FIQA": 0.664,
    },
    ("Table 3", 0.95): {
        "PFE": 0.535, "SER-FIQ": 0.691, "MagFace": 0.583, "FaceQAN": 0.475, "FaceQnet": 0.584,
        "PCNet": 0.526, "SDD-FIQA": 0.506, "CR-FIQA": 0.451, "CLIB-FIQA": 0.412,
    },
}  # fmt: skip
"""The column "Avg." of its tables, which the packaged file leaves out: for each row the mean."""


@pytest.fixture
def write(tmp_path):
    def write_rows(*rows, columns=COLUMNS):
        path = tmp_path / "published.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write_rows


def test_the_packaged_rows_have_the_averages_that_the_paper_prints():
    found = {}
    for value in published_values(measure="auc_normalised"):
        assert value.paper.startswith("CLIB-FIQA")
        row = found.setdefault((value.table, value.limit), {}).setdefault(value.method, [])
        row.append(value.value)
    assert {table: set(rows) for table, rows in found.items()} == {
        table: set(rows) for table, rows in CLIB_FIQA_AVERAGES.items()
    }
    for table, averages in CLIB_FIQA_AVERAGES.items():
        for method, average in averages.items():
            assert len(found[table][method]) == 8
            # Both the values and their average were rounded to three digits.
            assert math.fsum(found[table][method]) / 8 == pytest.approx(average, abs=0.001)


def test_the_packaged_areas_of_dqm_face_are_whole():
    values = published_values(measure="auc", verification_network="DQM-Face")
    assert {value.data_set for value in values} == {"LFW", "Adience", "CPLFW", "XQLFW"}
    assert len(values) == 4 * len({value.method for value in values}) == 44
    (grafiqs,) = (v for v in values if (v.method, v.data_set) == ("GraFIQs", "XQLFW"))
    assert (grafiqs.value, grafiqs.fmr, grafiqs.limit) == (0.1538, 0.001, 0.3)


def test_packaged_units_make_sense():
    values = published_values()
    assert {value.measure for value in values} <= set(MEASURES)
    for value in values:
        assert value.fmr == 0.001
        assert value.limit in (0.3, 0.95)
        assert value.value <= (1.1 if value.measure == "auc_normalised" else value.limit)
        assert f'"{value.data_set}"' in value.source


def test_names_are_found_by_letters_and_digits():
    assert published_values(data_set="cfp_fp") == published_values(data_set="CFP-FP") != ()
    assert published_values(method="ser_fiq") == published_values(method="SER-FIQ") != ()
    assert published_values(data_set="CFP") == ()
    assert published_values(verification_network="arcface", limit=0.3, measure="auc") == ()


def test_everything_given_must_fit():
    (value,) = published_values(
        data_set="LFW", method="CR-FIQA", verification_network="CosFace",
        measure="auc_normalised", fmr=1e-3, limit=0.3,
    )  # fmt: skip
    assert (value.table, value.value) == ("Table 2", 0.809)
    assert published_values(fmr=1e-4) == ()


def test_a_file_of_ones_own(write):
    auc, tar = read_published(write(AUC, TAR))
    assert auc == PublishedValue(**{**AUC, "fmr": 1e-3, "limit": 0.95, "value": 0.0301})
    assert (tar.fmr, tar.limit, tar.value) == (1e-5, None, 0.9)
    assert published_values(measure="tar", among=(auc, tar)) == (tar,)
    assert published_values(limit=0.95, among=(auc, tar)) == (auc,)
    assert published_values(among=()) == ()


def test_columns_in_any_order_and_more_of_them(write):
    columns = ["note", *reversed(COLUMNS)]
    (value,) = read_published(write(AUC | {"note": "mine"}, columns=columns))
    assert value.paper == "A paper, of two authors"


def test_what_is_written_is_read_again(write):
    rows = [dataclasses.asdict(value) for value in published_values()]
    assert read_published(write(*rows)) == published_values()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fmr": "0.1%"}, "expected fmr .* got '0.1%'"),
        ({"fmr": "1"}, "expected fmr .* got '1'"),
        ({"fmr": "nan"}, "expected fmr .* got 'nan'"),
        ({"limit": ""}, "expected limit to be a number with 0 < limit <= 1 for auc, got ''"),
        ({"limit": "95"}, "expected limit .* got '95'"),
        ({"measure": "tar", "value": "0.9"}, "expected limit to be empty for tar, got '0.95'"),
        ({"measure": "tar", "limit": "", "value": "96.1"}, "from 0 to 1.0, as tar, got '96.1'"),
        (
            {"value": "0.96"},
            "from 0 to 0.95, as auc, got '0.96' .* call areas that were divided auc_normalised",
        ),
        ({"value": "-0.1"}, "expected value .* got '-0.1'"),
        ({"value": "inf", "measure": "auc_normalised"}, "expected value .* got 'inf'"),
        ({"value": "0,03"}, "expected value .* got '0,03'"),
        ({"measure": "aoc"}, "expected measure to be one of auc, .* got 'aoc'"),
        ({"method": "  "}, "expected a text in method"),
        ({"source": ""}, "expected a text in source"),
    ],
)
def test_a_wrong_line_is_named(write, changed, message):
    path = write(TAR, AUC | changed)
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        read_published(path)
    assert f"line 3 of {path}" in str(caught.value)


def test_two_values_in_one_place(write):
    other = AUC | {"value": "0.05", "source": "another copy"}
    with pytest.raises(InvalidArgumentError, match=r"one value for CR-FIQA\(S\) .* line 3 of"):
        read_published(write(AUC, other))
    assert len(read_published(write(AUC, AUC | {"limit": "0.3"}))) == 2


@pytest.mark.parametrize("line", ["a,b,c", ",".join("x" * 12)])
def test_a_line_with_another_number_of_fields(write, line):
    path = write(AUC)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InvalidArgumentError, match="got more or fewer in line 3"):
        read_published(path)


def test_missing_columns(write):
    with pytest.raises(InvalidArgumentError, match="got none named fmr, source"):
        read_published(write(AUC, columns=[n for n in COLUMNS if n not in ("fmr", "source")]))


def test_no_values(write, tmp_path):
    with pytest.raises(InvalidArgumentError, match="got a header alone"):
        read_published(write())
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InvalidArgumentError, match="got none named paper, table"):
        read_published(tmp_path / "empty.csv")


def test_unreadable_files(tmp_path):
    with pytest.raises(FiqaError, match="expected a readable CSV file"):
        read_published(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00paper")
    with pytest.raises(FiqaError, match="expected a readable CSV file"):
        read_published(tmp_path / "binary.csv")
    (tmp_path / "quotes.csv").write_text(",".join(COLUMNS) + '\n"a"b,c\n')
    with pytest.raises(FiqaError, match="expected a readable CSV file"):
        read_published(tmp_path / "quotes.csv")


def test_unknown_measure():
    with pytest.raises(InvalidArgumentError, match="got 'pauc'"):
        published_values(measure="pauc")
