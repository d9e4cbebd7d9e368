import json
import shutil

import pytest


@pytest.fixture
def description(tmp_path):
    path = tmp_path / "repository.yaml"
    path.write_text("scorers:\n  - {scorer: ser-fiq}\n")
    return path


def test_build_and_check(fiqa_fast_command, description, tmp_path):
    out = tmp_path / "models"
    code, told, _ = fiqa_fast_command("serve", "build-repo", description, "-o", out)
    assert code == 0
    names = ["ser_fiq", "face_preprocess", "fiqa_result", "fiqa"]
    assert told.splitlines() == [f"wrote {out / name}" for name in names]

    code, told, _ = fiqa_fast_command("serve", "check", out)
    assert (code, told) == (0, f"{out}: nothing wrong\n")

    code, _, complaint = fiqa_fast_command("serve", "build-repo", description, "-o", out)
    assert code == 1
    assert "--overwrite" in complaint
    again = ("serve", "build-repo", description, "-o", out, "--overwrite")
    assert fiqa_fast_command(*again)[0] == 0

    (out / "ser_fiq" / "1" / "model.py").unlink()
    code, told, _ = fiqa_fast_command("serve", "check", out)
    assert code == 1
    assert told.startswith("ser_fiq: expected a file model.py")


def test_gpu_repository_without_data_and_for_a_stand_in(fiqa_fast_command, tmp_path):
    path = tmp_path / "gpu.yaml"
    path.write_text("device: gpu\nscorers:\n  - {scorer: ser-fiq}\n")
    for option, stands_in in (("--without-data", False), ("--stand-in", True)):
        out = tmp_path / option
        assert fiqa_fast_command("serve", "build-repo", path, "-o", out, option)[0] == 0
        record = json.loads((out / "ser_fiq" / "1" / "scorer.json").read_text())
        assert record["stands_in"] is stands_in


def test_wrong_description_is_a_usage_error(fiqa_fast_command, description, tmp_path):
    description.write_text("scorer: ser-fiq\n")
    code, _, complaint = fiqa_fast_command("serve", "build-repo", description, "-o", tmp_path / "o")
    assert code == 2
    assert "'scorer'" in complaint


def test_start_on_a_gpu_prints_the_command(fiqa_fast_command, tmp_path):
    code, told, _ = fiqa_fast_command(
        "serve",
        "start",
        tmp_path,
        "--gpu",
        "--dry-run",
        "--rate-limit",
        "cores=2",
        "--load",
        "fiqa",
    )
    assert code == 0
    assert told.startswith("docker run --rm --gpus=all")
    for flag in (
        "--rate-limit-resource=cores:2",
        "--load-model=fiqa",
        "--cache-config=local,size=",
    ):
        assert flag in told


def test_start_on_a_gpu_without_docker_is_told(fiqa_fast_command, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    code, _, complaint = fiqa_fast_command("serve", "start", tmp_path, "--gpu")
    assert code == 1
    assert "expected the program docker" in complaint


@pytest.mark.parametrize("text", ["cores", "cores=", "=2", "cores=x", "cores=0"])
def test_wrong_rate_limit_is_a_usage_error(fiqa_fast_command, tmp_path, text):
    code, _, complaint = fiqa_fast_command("serve", "start", tmp_path, "--rate-limit", text)
    assert code == 2
    assert "NAME=COUNT" in complaint


def test_start_needs_a_folder_and_an_environment(fiqa_fast_command, tmp_path, monkeypatch):
    code, _, complaint = fiqa_fast_command("serve", "start", tmp_path / "nothing")
    assert code == 2
    assert "build-repo" in complaint
    monkeypatch.setenv("FIQA_SERVE_ENV", str(tmp_path))
    code, _, complaint = fiqa_fast_command("serve", "start", tmp_path)
    assert code == 1
    assert "make serve-env" in complaint
