"""Every way in which a repository can be wrong is found, and named with its model."""

import json
import shutil

import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.serving.repository.build import build_repository
from fiqa_fast.serving.repository.check import check_repository
from fiqa_fast.serving.repository.settings import parse_settings


@pytest.fixture(scope="module")
def good(tmp_path_factory, golden_dir):
    folder = tmp_path_factory.mktemp("good")
    weights = golden_dir / "lightqnet" / "lightqnet-dm025.pb"
    entries = [{"scorer": "grafiqs"}, {"scorer": "lightqnet", "weights": str(weights)}]
    build_repository(parse_settings({"scorers": entries}), folder)
    return folder


@pytest.fixture
def repository(good, tmp_path):
    shutil.copytree(good, tmp_path / "repository")
    return tmp_path / "repository"


def test_good_ones_have_nothing_wrong(good, filled):
    assert check_repository(good) == []
    assert check_repository(filled) == []


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("model", "damage", "problem"),
    [
        ("grafiqs", lambda m: edit(m / "config.pbtxt", "{", "{{"), "configuration of Triton"),
        ("grafiqs", lambda m: (m / "config.pbtxt").unlink(), "configuration of Triton"),
        ("grafiqs", lambda m: edit(m / "config.pbtxt", 'name: "grafiqs"', 'name: "x"'), "name"),
        ("grafiqs", lambda m: edit(m / "config.pbtxt", "max_batch_size: 16", ""), "max_batch_size"),
        ("grafiqs", lambda m: edit(m / "config.pbtxt", "versions: [ 1 ]", ""), "specific versions"),
        ("grafiqs", lambda m: (m / "1").rename(m / "2"), "a folder 1, found none"),
        ("grafiqs", lambda m: (m / "1" / "model.py").unlink(), "a file model.py"),
        ("grafiqs", lambda m: (m / "1" / "scorer.json").unlink(), "scorer.json"),
        ("grafiqs", lambda m: change_json(m / "1" / "scorer.json", cheese=1), "cheese"),
        ("grafiqs", lambda m: change_json(m / "1" / "scorer.json", precision="bf16"), "precision="),
        ("grafiqs", lambda m: change_json(m / "1" / "scorer.json", scorer="grafix"), "grafix"),
        ("grafiqs", lambda m: edit(m / "config.pbtxt", "dims: [ 6 ]", "dims: [ 5 ]"), "raw_score"),
        ("grafiqs", lambda m: edit(m / "config.pbtxt", "UINT8 dims", "FP32 dims"), "input crops"),
        ("grafiqs", lambda m: edit(m / "config.pbtxt", 'key: "fiqa"', 'key: "x"'), "provenance"),
        ("lightqnet", lambda m: (m / "1" / "lightqnet-dm025.pb").unlink(), "dm025"),
        (
            "lightqnet",
            lambda m: (m / "1" / "lightqnet-dm025.pb").write_bytes(b"\n\0"),
            "lightqnet-dm025.pb",
        ),
        ("face_preprocess", lambda m: (m / "1" / "preprocess.json").unlink(), "preprocess.json"),
        (
            "face_preprocess",
            lambda m: edit(m / "config.pbtxt", '"landmarks"', '"points"'),
            "output landmarks",
        ),
        ("fiqa_result", lambda m: (m / "1" / "result.json").unlink(), "result.json"),
        (
            "fiqa_result",
            lambda m: change_json(m / "1" / "result.json", calibrations=["none.json"]),
            "none.json",
        ),
    ],
)
def test_damage_is_found(repository, model, damage, problem):
    damage(repository / model)
    findings = check_repository(repository)
    assert any(f.model == model and problem in f.problem for f in findings), findings


def test_other_weights_are_found(repository, golden_dir):
    weights = repository / "lightqnet" / "1" / "lightqnet-dm025.pb"
    weights.unlink()
    shutil.copy(golden_dir / "lightqnet" / "lightqnet-dm050.pb", weights)
    (finding,) = check_repository(repository)
    assert finding.model == "lightqnet"
    assert "weights_sha256=" in finding.problem
    assert "lightqnet-dm050" in finding.problem


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda r: shutil.rmtree(r / "grafiqs"), "a model grafiqs, which a step names"),
        (
            lambda r: edit(
                r / "fiqa" / "config.pbtxt", 'input_map { key: "crops" value: "crop" }', ""
            ),
            "to fill its input crops",
        ),
        (
            lambda r: edit(
                r / "fiqa" / "config.pbtxt",
                'input_map { key: "crops" value: "crop" }',
                'input_map { key: "crops" value: "image" }',
            ),
            "grafiqs.crops to be STRING [1]",
        ),
        (
            lambda r: edit(
                r / "fiqa" / "config.pbtxt", 'output_map { key: "box"', 'output_map { key: "bo"'
            ),
            "an output bo of face_preprocess",
        ),
        (
            lambda r: edit(
                r / "fiqa" / "config.pbtxt", '\\"output\\": \\"b2\\"', '\\"output\\": \\"b1\\"'
            ),
            "columns of",
        ),
        (
            lambda r: edit(r / "fiqa" / "config.pbtxt", 'key: "fiqa"', 'key: "x"'),
            "readable columns",
        ),
        (
            lambda r: edit(r / "grafiqs" / "config.pbtxt", '\\"seed\\": null', '\\"seed\\": 1'),
            "the provenance of grafiqs in its column",
        ),
        (
            lambda r: edit(
                r / "fiqa_result" / "1" / "result.json", '"position": 3', '"position": 2'
            ),
            "b2 at column 2 of grafiqs",
        ),
    ],
)
def test_ensemble_that_does_not_fit_together_is_found(repository, damage, problem):
    damage(repository)
    findings = check_repository(repository)
    assert any(f.model == "fiqa" and problem in f.problem for f in findings), findings


def test_other_graph_is_found(filled, tmp_path):
    shutil.copytree(filled / "embedding_norm", tmp_path / "embedding_norm")
    edit(tmp_path / "embedding_norm" / "1" / "model.xml", "fb143eea", "00000000")
    (finding,) = check_repository(tmp_path)
    assert finding.model == "embedding_norm"
    assert "got weights_sha256='00000000" in finding.problem
    (tmp_path / "embedding_norm" / "1" / "model.xml").unlink()
    (finding,) = check_repository(tmp_path)
    assert "model.xml" in finding.problem


def test_empty_and_missing_folders_are_told(tmp_path):
    (finding,) = check_repository(tmp_path)
    assert str(finding) == f"{tmp_path} holds no model"
    with pytest.raises(InvalidArgumentError, match="build-repo"):
        check_repository(tmp_path / "nothing")
