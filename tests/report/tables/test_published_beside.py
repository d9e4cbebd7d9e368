from __future__ import annotations

from fiqa_fast.evaluation.published import PublishedValue
from fiqa_fast.report.tables.published_beside import PublishedBeside

WANTED = {
    "data_set": "lfw", "method": "froq", "network": "sface", "measure": "auc", "fmr": 1e-3,
    "limit": 0.2,
}  # fmt: skip


def value(table: str, number: float, method: str = "FROQ") -> PublishedValue:
    return PublishedValue("P", table, "LFW", method, "SFace", "auc", 1e-3, 0.2, number, "s")


def test_every_table_gets_a_mark_when_its_first_value_is_found() -> None:
    beside = PublishedBeside(
        [value("other", 0.1, "MagFace"), *(value(f"Table {i}", i / 1000) for i in range(30))]
    )

    found = beside.find(**WANTED)
    again = beside.find(**WANTED)

    marks = [one.source.mark for one in found]
    assert marks[:2] == ["a", "b"]
    assert marks[25:28] == ["z", "aa", "ab"]
    assert len(set(marks)) == 30
    assert again == found
    assert [source.text for source in beside.sources] == [f"P, Table {i}" for i in range(30)]


def test_of_two_values_in_one_table_the_first_is_taken() -> None:
    beside = PublishedBeside([value("Table 1", 0.1), value("Table 1", 0.2, "froq")])

    assert [one.value for one in beside.find(**WANTED)] == [0.1]


def test_names_that_cannot_be_printed_are_made_printable() -> None:
    (found,) = PublishedBeside([value("Table \x00 1", 0.1)]).find(**WANTED)

    assert found.source.text == "P, Table \N{REPLACEMENT CHARACTER} 1"
