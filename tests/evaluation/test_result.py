from __future__ import annotations

import json
from pathlib import Path

import pytest

from fiqa_fast.errors import ResultsError
from fiqa_fast.evaluation.result import (
    DistributionRecord,
    EvaluationResult,
    LabelChangeRecord,
    join_results,
    read_result,
    write_result,
)

CHANGE = LabelChangeRecord("LFW", "faceqan", "faceqan+opt", 3, 0.5, None, (0.0, 1.0), (1.0, 0.0))
HISTOGRAM = DistributionRecord("LFW", "CCS (sface)", True, (0.0, 1.0), (3,))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    result = EvaluationResult("t", distributions=(HISTOGRAM,), label_changes=(CHANGE,))
    write_result(result, tmp_path / "evaluation.json")

    assert read_result(tmp_path / "evaluation.json") == result


def test_files_from_before_label_changes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_result(EvaluationResult("t", distributions=(HISTOGRAM,)), path)
    content = json.loads(path.read_text())
    del content["label_changes"]
    path.write_text(json.dumps(content))

    assert read_result(path) == EvaluationResult("t", distributions=(HISTOGRAM,))

    del content["ladder"]  # which every file has
    path.write_text(json.dumps(content))
    with pytest.raises(ResultsError, match="ladder"):
        read_result(path)


def test_label_changes_are_joined() -> None:
    results = [EvaluationResult("a", label_changes=(CHANGE,)), EvaluationResult("b")]

    assert join_results("t", {}, [*results, results[0]]).label_changes == (CHANGE, CHANGE)
