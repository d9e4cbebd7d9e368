from __future__ import annotations

from typing import Any

from fiqa_fast.report.scores import read_scores
from fiqa_fast.report.summary import Fact, list_facts, summarise_output


def test_facts_come_from_the_table_and_the_settings(make_table: Any, scored: Any) -> None:
    digest = "ab" * 32
    table = make_table(
        [
            scored("a.jpg", 1.0, weights_sha256=digest, device="cpu"),
            scored("a.jpg", 1.0, scorer="faceqan", weights_sha256=digest, device="cuda:0", seed=7),
        ]
    )

    facts = list_facts(table, {"date": "2026-01-31", "Network": "mine"})

    assert facts == [
        Fact("Network", "mine", ""),
        Fact("Weights", "abababababab…", digest),
        Fact("Variant", "official", ""),
        Fact("Precision", "float32", ""),
        Fact("Device", "cpu, cuda:0", ""),
        Fact("Engine", "torch", ""),
        Fact("Seed", "7", ""),
        Fact("Version", "0.1.0", ""),
        Fact("Date", "2026-01-31", ""),
    ]


def test_facts_without_a_value_are_left_out(make_table: Any, scored: Any) -> None:
    facts = list_facts(make_table([scored("a.jpg", 1.0, backbone="", seed=None)]), {"date": ""})

    assert {"Network", "Seed", "Date"}.isdisjoint(fact.label for fact in facts)


def test_one_row_per_output(make_table: Any, scored: Any) -> None:
    rows = [
        scored(f"{i}.jpg", raw, quality=q) for i, (raw, q) in enumerate([(4, 10), (1, 90), (2, 60)])
    ]
    (output,) = read_scores(make_table(rows)).outputs

    summary = summarise_output(output)

    assert (summary.name, summary.count) == ("grafiqs/b2", 3)
    assert (summary.least, summary.median, summary.greatest) == (1, 2, 4)
    assert summary.polarity == "lower is better"
    assert summary.median_quality == 60


def test_no_quality_gives_its_reason(make_table: Any, scored: Any) -> None:
    row = scored("a.jpg", 1.0, higher_is_better=True, quality=None, quality_reason="no fit")
    (output,) = read_scores(make_table([row])).outputs

    summary = summarise_output(output)

    assert summary.polarity == "higher is better"
    assert summary.median_quality is None
    assert summary.quality_reason == "no fit"
