import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.quality.calibration import DiscardThreshold
from fiqa_fast.quality.files import FORMAT, from_json, read_calibrations, to_json
from fiqa_fast.quality.fit import fit_calibration

DISCARD = DiscardThreshold(
    target="fnmr",
    target_value=0.01,
    raw_score=2.5,
    quality=12.5,
    discard_fraction=0.1,
    face_discard_fraction=0.07,
    fnmr_before=0.02,
    fnmr_after=0.01,
    fmr=1e-3,
    fmr_reached=0.0,
    decision_threshold=0.4000000000000001,
    mated_count=10,
    non_mated_count=20,
    warnings=("too few",),
)


@pytest.fixture
def calibrations(make_reference):
    raw = np.random.default_rng(0).lognormal(size=50)
    percentiles = fit_calibration(make_reference(raw), reference_set="Fünfzig")
    sigmoid = fit_calibration(
        make_reference(raw, output="b3", higher_is_better=False),
        reference_set="fifty",
        kind="sigmoid",
    )
    return [percentiles, replace(sigmoid, discard=DISCARD)]


def test_nothing_changes_on_the_way_through_a_file(calibrations, tmp_path):
    path = tmp_path / "cal.json"
    path.write_text(to_json(calibrations))
    found = read_calibrations(path)
    assert found == calibrations
    assert [c.digest for c in found] == [c.digest for c in calibrations]


def test_the_format_is_the_documented_one(calibrations):
    content = json.loads(to_json(calibrations))
    assert content.keys() == {"format", "calibrations"}
    assert content["format"] == FORMAT
    percentile, sigmoid = content["calibrations"]
    common = {
        *("scorer", "output", "variant", "parameters"),
        *("backbone", "weights_sha256", "bn_statistics", "higher_is_better"),
        *("kind", "reference_set", "face_count", "fiqa_fast_version", "discard", "digest"),
    }
    assert percentile.keys() == common | {"raw_scores"}
    assert sigmoid.keys() == common | {"x0", "w"}
    assert (percentile["kind"], sigmoid["kind"]) == ("percentile", "sigmoid")
    assert percentile["parameters"] == {"k": 3}
    assert percentile["face_count"] == 50
    assert percentile["discard"] is None
    assert sigmoid["discard"]["warnings"] == ["too few"]


def test_the_digest_can_be_checked_by_others(calibrations):
    entry = json.loads(to_json(calibrations))["calibrations"][1]
    stated = entry.pop("digest")
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == stated


def test_white_space_does_not_matter(calibrations):
    pretty = json.dumps(json.loads(to_json(calibrations)), indent=4, ensure_ascii=False)
    assert from_json(pretty) == calibrations


@pytest.mark.parametrize(
    "change",
    [
        {"higher_is_better": True},
        {"w": 0.123},
        {"weights_sha256": "cd" * 32},
        {"reference_set": "all of mankind"},
        {"discard": None},
        {"comment": "mine"},
        {"digest": "0" * 64},
    ],
)
def test_a_hand_changed_file_is_refused(calibrations, tmp_path, change):
    content = json.loads(to_json(calibrations))
    content["calibrations"][1].update(change)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(content))
    with pytest.raises(
        InvalidArgumentError, match=r"got a changed one for grafiqs b3 in .*edited.json; make"
    ):
        read_calibrations(path)


def forged(entry):
    """An entry with a fitting digest."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    return entry | {"digest": hashlib.sha256(text.encode()).hexdigest()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "[]",
        "{}",
        '{"format": "other"}',
        json.dumps({"format": FORMAT}),
        json.dumps({"format": FORMAT, "calibrations": [3]}),
        json.dumps({"format": FORMAT, "calibrations": [{}]}),
        json.dumps({"format": FORMAT, "calibrations": [forged({"scorer": "x"})]}),
        json.dumps(
            {"format": FORMAT, "calibrations": [forged({"parameters": {}, "x0": 1}) | {"x0": None}]}
        ),
    ],
)
def test_files_that_hold_something_else(text):
    with pytest.raises(InvalidArgumentError, match="expected fiqa_fast calibrations, version 1"):
        from_json(text)


def test_an_unknown_kind(calibrations):
    content = json.loads(to_json(calibrations[:1]))
    entry = content["calibrations"][0]
    del entry["digest"]
    content["calibrations"] = [forged(entry | {"kind": "spline"})]
    with pytest.raises(InvalidArgumentError, match="the kind 'spline'"):
        from_json(json.dumps(content))


def test_a_scale_that_is_none_keeps_its_own_message(calibrations):
    content = json.loads(to_json(calibrations[1:]))
    entry = content["calibrations"][0]
    del entry["digest"]
    content["calibrations"] = [forged(entry | {"w": 0.0})]
    with pytest.raises(InvalidArgumentError, match="w above 0"):
        from_json(json.dumps(content))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_files_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "cal.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="expected a readable JSON file, got "):
        read_calibrations(path)
