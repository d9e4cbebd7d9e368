import json
from dataclasses import replace
from pathlib import Path

import pytest

from fiqa_fast.errors import (
    InvalidArgumentError,
    ResultsError,
    UnavailableError,
    WeightsError,
)
from fiqa_fast.provenance import Provenance
from fiqa_fast.serving.repository.build import build_repository
from fiqa_fast.serving.repository.config import scorer_config
from fiqa_fast.serving.repository.model_config import read_config
from fiqa_fast.serving.repository.settings import parse_settings, read_settings

PROVENANCE = Provenance(
    scorer="froq",
    outputs=("score",),
    default_output="score",
    higher_is_better=True,
    backbone="sface",
    weights_sha256="0",
    bn_statistics="training",
    variant="official",
    parameters="{}",
    precision="float32",
    device="cpu",
    engine="torch",
    seed=None,
    version="0",
)
COMMITTED = Path(__file__).parents[3] / "triton_repo"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def configs_of(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in folder.glob("*/config.pbtxt")}


def build(folder: Path, *scorers, **more) -> Path:
    build_repository(parse_settings({"scorers": list(scorers), **more}, folder), folder / "repo")
    return folder / "repo"


def test_committed_repository_is_what_its_yaml_gives(tmp_path):
    """To renew it, run the command at the top of triton_repo/repository.yaml."""
    settings = read_settings(COMMITTED / "repository.yaml")
    build_repository(settings, tmp_path, without_data=True)
    committed = files_of(COMMITTED)
    del committed["repository.yaml"]
    assert files_of(tmp_path) == committed


def test_committed_configurations_leave_the_device_to_triton():
    for text in configs_of(COMMITTED).values():
        assert "instance_group" not in text
        assert "KIND_" not in text
    assert 'platform: "tensorrt_plan"' in configs_of(COMMITTED)["embedding_norm"]


def test_repository_for_a_cpu_differs_in_instances_and_promises_only(tmp_path, monkeypatch):
    monkeypatch.setattr("fiqa_fast.serving.repository.config.available_cores", lambda: 2)
    settings = replace(read_settings(COMMITTED / "repository.yaml"), device="cpu")
    build_repository(settings, tmp_path, without_data=True)
    for name, text in configs_of(tmp_path).items():
        kept = text.replace("\ninstance_group [\n  {\n    kind: KIND_CPU\n    count: 1\n  }\n]", "")
        ours, committed = kept.splitlines(), (COMMITTED / name / "config.pbtxt").read_text()
        different = [
            line for line, other in zip(ours, committed.splitlines(), strict=True) if line != other
        ]
        assert all(line.startswith('parameters { key: "fiqa"') for line in different)
        if name != "fiqa":
            assert "KIND_CPU" in text


@pytest.mark.parametrize(
    ("cores", "scorers", "threads", "instances"),
    [(1, 1, 1, 1), (2, 1, 1, 2), (2, 4, 1, 1), (16, 2, 1, 4), (16, 2, 4, 2), (8, 1, 4, 2)],
)
def test_scorers_on_a_cpu_fill_its_cores(monkeypatch, cores, scorers, threads, instances):
    monkeypatch.setattr("fiqa_fast.serving.repository.config.available_cores", lambda: cores)
    entries = [{"scorer": "froq", "name": f"m{i}", "threads": threads} for i in range(scorers)]
    settings = parse_settings({"scorers": entries})
    for scorer in settings.scorers:
        assert scorer_config(scorer, settings, PROVENANCE).instances == instances
    given = replace(scorer, instances=7)
    assert scorer_config(given, settings, PROVENANCE).instances == 7


def test_every_configuration_batches_and_refuses_what_waits_too_long(filled):
    for name, text in configs_of(filled).items():
        assert read_config(filled / name / "config.pbtxt").max_batch_size == 8
        assert ("dynamic_batching" in text) == (name != "fiqa")
        assert ("timeout_action: REJECT" in text) == (name != "fiqa")
        assert ("max_queue_size: 16" in text) == (name != "fiqa")
        assert ("response_cache { enable: true }" in text) == (name != "fiqa_result")
        is_scorer = name not in ("fiqa", "fiqa_result", "face_preprocess")
        assert ("model_warmup" in text) == is_scorer
        assert ("rate_limiter" in text) == (name in ("grafiqs", "faceqan"))


def test_configuration_tells_where_scores_come_from(filled):
    promised = Provenance.from_json(
        read_config(filled / "grafiqs" / "config.pbtxt").parameters["fiqa"]
    )
    assert promised.scorer == "grafiqs"
    assert promised.default_output == "b2"
    assert promised.device == "cpu"
    assert promised.engine == "torch"
    columns = json.loads(read_config(filled / "fiqa" / "config.pbtxt").parameters["fiqa"])
    assert [(c["model"], c["output"]) for c in columns] == [
        ("grafiqs", "b2"),
        ("faceqan", "score"),
        ("ser_fiq", "score"),
        ("embedding_norm", "score"),
    ]
    assert columns[0]["provenance"] == json.loads(promised.to_json())
    assert columns[3]["provenance"]["engine"] == "openvino"


def test_weights_lie_beside_the_model_and_once_on_the_disk(tmp_path, golden_dir):
    weights = golden_dir / "lightqnet" / "lightqnet-dm025.pb"
    entry = {"scorer": "lightqnet", "weights": str(weights)}
    repository = build(tmp_path, entry, {**entry, "name": "again"})
    one, other = (repository / name / "1" / weights.name for name in ("lightqnet", "again"))
    assert one.read_bytes() == weights.read_bytes()
    assert one.samefile(other)
    assert not one.samefile(weights)
    assert json.loads((one.parent / "scorer.json").read_text())["weights"] == weights.name


def test_all_outputs_are_columns_where_they_are_wanted(tmp_path):
    repository = build(tmp_path, {"scorer": "grafiqs", "outputs": ["b1", "b2"]}, all_outputs=True)
    config = read_config(repository / "fiqa" / "config.pbtxt")
    assert config.outputs["raw_score"].dims == (2,)
    assert [c["output"] for c in json.loads(config.parameters["fiqa"])] == ["b1", "b2"]
    assert read_config(repository / "grafiqs" / "config.pbtxt").outputs["raw_score"].dims == (2,)


def test_default_output_must_be_among_the_outputs(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"outputs of grafiqs with b2"):
        build(tmp_path, {"scorer": "grafiqs", "outputs": ["b1"]})
    build(tmp_path, {"scorer": "grafiqs", "outputs": ["b1"], "options": {"output": "b1"}})


def test_versions_stand_beside_each_other(tmp_path):
    build(tmp_path, {"scorer": "ser-fiq"})
    with pytest.raises(ResultsError, match=r"ser_fiq/1, which exists.*--overwrite"):
        build(tmp_path, {"scorer": "ser-fiq"})
    repository = build(tmp_path, {"scorer": "ser-fiq", "seed": 7}, version=2)
    assert {path.name for path in (repository / "ser_fiq").iterdir()} == {"1", "2", "config.pbtxt"}
    config = read_config(repository / "ser_fiq" / "config.pbtxt")
    assert config.versions == (2,)
    assert json.loads(config.parameters["fiqa"])["seed"] == 7


def test_overwrite_replaces_a_version(tmp_path):
    repository = build(tmp_path, {"scorer": "ser-fiq"})
    (repository / "ser_fiq" / "1" / "left_over").touch()
    settings = parse_settings({"scorers": [{"scorer": "ser-fiq"}], "ensemble": []})
    assert build_repository(settings, repository, overwrite=True) == ["ser_fiq", "face_preprocess"]
    assert not (repository / "ser_fiq" / "1" / "left_over").exists()


def test_nothing_is_written_where_a_scorer_cannot_be_made(tmp_path):
    with pytest.raises(WeightsError, match=r"missing\.pth"):
        build(tmp_path, {"scorer": "ser-fiq"}, {"scorer": "cr-fiqa", "weights": "missing.pth"})
    with pytest.raises(InvalidArgumentError, match="option of faceqan"):
        build(tmp_path, {"scorer": "faceqan", "options": {"kk": 3}})
    assert not (tmp_path / "repo").exists()


def test_nothing_is_written_where_a_graph_cannot_be_exported(tmp_path, monkeypatch):
    def refuse(*arguments, **named):
        raise UnavailableError("no such engine here")

    monkeypatch.setattr("fiqa_fast.serving.repository.scorer_folder.export_scorer", refuse)
    norm = {"scorer": "embedding-norm", "backend": "tensorrt"}
    with pytest.raises(UnavailableError, match="no such engine"):
        build(tmp_path, {"scorer": "ser-fiq"}, norm)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "repo").write_text("in the way")
    with pytest.raises(ResultsError, match="expected to be able to write"):
        build(tmp_path, {"scorer": "ser-fiq"})
