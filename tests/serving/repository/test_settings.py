from pathlib import Path

import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.serving.repository.settings import parse_settings, read_settings

COMMITTED = Path(__file__).parents[3] / "triton_repo" / "repository.yaml"


def test_committed_example_is_valid_and_names_every_key():
    settings = read_settings(COMMITTED)
    assert settings.device == "gpu"
    assert [scorer.model for scorer in settings.in_ensemble] == [
        "grafiqs",
        "faceqan",
        "ser_fiq",
        "embedding_norm",
    ]
    text = COMMITTED.read_text()
    for section in (settings, settings.preprocess, settings.scorers[0]):
        for key in section.__dataclass_fields__:
            assert f"{key}:" in text, f"{key} is not shown in {COMMITTED.name}"


def test_short_file_takes_every_default(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("scorers:\n  - {scorer: cr-fiqa, weights: w/net.pth}\n")
    settings = read_settings(path)
    (scorer,) = settings.scorers
    assert scorer.model == "cr_fiqa"
    assert scorer.weights == tmp_path / "w" / "net.pth"
    assert settings.in_ensemble == [scorer]
    assert settings.device == "cpu"


def test_ensemble_can_be_left_out():
    assert parse_settings({"scorers": [{"scorer": "froq"}], "ensemble": []}).in_ensemble == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"divice": "cpu"}, r"one of scorers, ensemble, device.*'divice'"),
        ({"device": "tpu"}, r"device to be one of cpu, gpu"),
        ({"max_batch_size": 0}, r"max_batch_size to be 1 or more"),
        ({"version": 0}, r"version to be 1 or more"),
        ({"queue_delay_us": -1}, r"queue_delay_us to be 0 or more"),
        ({"preprocess": {"faces": "all"}}, r"preprocess.faces to be one of largest, central"),
        ({"preprocess": {"threads": 0}}, r"preprocess.threads to be 1 or more"),
        ({"preprocess": {"max_megapixels": 0}}, r"preprocess.max_megapixels to be a number > 0"),
        ({"scorers": []}, r"scorers to be one entry or more"),
        ({"scorers": [{}]}, r"the key scorers\[0\].scorer"),
        ({"scorers": [{"scorer": "grafix"}]}, r"one of grafiqs.*'grafix'"),
        ({"ensemble": ["grafix"]}, r"ensemble to be names of scorers \(of grafiqs\), got 'grafix'"),
        ({"ensemble": ["grafiqs", "grafiqs"]}, r"ensemble to be each name once"),
        (
            {"scorers": [{"scorer": "grafiqs"}, {"scorer": "grafiqs"}]},
            r"scorers\[0\].name to be a name that no other model has",
        ),
    ],
)
def test_wrong_file_is_refused_with_the_key(changes, message):
    with pytest.raises(InvalidArgumentError, match=message):
        parse_settings({"scorers": [{"scorer": "grafiqs"}], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "fiqa"}, r"scorers\[0\].name to be .* none of face_preprocess"),
        ({"name": "a/b"}, r"scorers\[0\].name to be lower-case"),
        ({"outputs": ["b9"]}, r"scorers\[0\].outputs to be some of mse_bns"),
        ({"outputs": []}, r"outputs to be one output or more"),
        ({"outputs": ["b1", "b1"]}, r"outputs to be one output or more, each once"),
        ({"threads": 0}, r"threads to be 1 or more"),
        ({"instances": 0}, r"instances to be 1 or more"),
        ({"rate_limit": {"cores": 0}}, r"rate_limit.cores to be 1 or more"),
        ({"histogram": [2, 1]}, r"histogram to be bounds in rising order"),
        ({"precision": "auto"}, r"precision to be one of float32"),
        ({"backend": "pytorch"}, r"backend to be one of python, tensorrt"),
        ({"embedding": True}, r"embedding to be false with the backend python"),
        ({"backend": "openvino", "outputs": ["b2"]}, r"outputs to be left out with the backend"),
        ({"backend": "openvino", "engine": "torch"}, r"engine to be left out"),
        ({"backend": "tensorrt", "precision": "int8"}, r"precision to be one of float32, bf16"),
        (
            {"scorer": "faceqan", "backend": "tensorrt"},
            r"backend to be python for faceqan, which draws random numbers",
        ),
    ],
)
def test_wrong_scorer_is_refused_with_the_key(changes, message):
    with pytest.raises(InvalidArgumentError, match=message):
        parse_settings({"scorers": [{"scorer": "grafiqs", **changes}]})


@pytest.mark.parametrize("text", ["scorers: [", "\x00"])
def test_unreadable_yaml_is_told(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=r"broken\.yaml"):
        read_settings(path)
    with pytest.raises(InvalidArgumentError, match=r"missing\.yaml"):
        read_settings(tmp_path / "missing.yaml")
