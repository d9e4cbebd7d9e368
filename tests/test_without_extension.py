"""Without the compiled modules everything still works, slower and with one warning."""

import json
import subprocess
import sys

import pytest

from fiqa_fast.pipeline import score_images
from fiqa_fast.scorers.registry import create_scorer

OPTIONS = {"grafiqs": {}, "faceqan": {"k": 2, "l": 2}, "ser-fiq": {"T": 5}, "embedding-norm": {}}

SCRIPT = """
import json, sys, warnings
sys.modules["fiqa_fast._host"] = None  # makes its import fail
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fiqa_fast
    crop, photo, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    scorers = [fiqa_fast.create_scorer(name, **o) for name, o in options.items()]
    rows = fiqa_fast.score_images([crop], scorers, aligned=True)
    rows += fiqa_fast.score_images([photo], scorers[-1])
messages = [str(w.message) for w in caught if "fiqa_fast" in str(w.message)]
print(json.dumps({"messages": messages, "raw": [r.score.raw_score for r in rows]}))
"""


@pytest.fixture(scope="module")
def inputs(golden_dir, faces_dir):
    return golden_dir / "crops" / "impostor_2.png", faces_dir / "impostor_2.jpg"


@pytest.fixture(scope="module")
def without_extension(inputs):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *inputs, json.dumps(OPTIONS)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_there_is_one_warning_with_the_reason(without_extension):
    (message,) = without_extension["messages"]
    assert "compiled extension could not be loaded" in message
    assert "pip install ." in message
    assert "_host" in message


def test_scores_are_the_same(without_extension, sface32, inputs):
    scorers = [create_scorer(name, backbone=sface32, **o) for name, o in OPTIONS.items()]
    rows = score_images([inputs[0]], scorers, aligned=True)
    raw = [row.score.raw_score for row in rows]
    assert raw == pytest.approx(without_extension["raw"][:-1], rel=1e-5)


def test_a_photograph_scores_nearly_the_same(without_extension, sface32, inputs):
    """The twin of the alignment may differ by a grey level here and there."""
    (row,) = score_images([inputs[1]], create_scorer("embedding-norm", backbone=sface32))
    assert row.score.raw_score == pytest.approx(without_extension["raw"][-1], rel=5e-3)
