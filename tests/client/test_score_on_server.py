"""`fiqa-fast score --server`."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from triton_stand_in import provenance

from fiqa_fast.cli import main

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "going away")


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `fiqa-fast score` in this process: (exit code, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fiqa-fast", "score", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        return exit_info.value.code or 0, capsys.readouterr().err

    return run


@pytest.fixture
def folder(tmp_path, some_crops):
    """Ten crops, and a file that is none."""
    images = tmp_path / "images"
    images.mkdir()
    for number, crop in enumerate(some_crops):
        Image.fromarray(crop).save(images / f"{number}.png")
    (images / "text.jpg").write_text("no image")
    return images


def _rows(out):
    return pq.read_table(out / "scores.parquet").to_pylist()


def _without_time(rows):
    return [{k: v for k, v in row.items() if k != "elapsed_ms"} for row in rows]


def test_the_table_is_that_of_local_scoring(command, faces_dir, triton, tmp_path):
    methods = ("--scorer", "grafiqs,embedding-norm")
    code, err = command(faces_dir, "-o", tmp_path / "local", *methods)
    assert code == 0, err
    for name, server in (("grpc", triton.grpc_address), ("http", f"http://{triton.http_address}")):
        code, err = command(faces_dir, "-o", tmp_path / name, *methods, "--server", server)
        assert code == 0, err
        served, local = _rows(tmp_path / name), _rows(tmp_path / "local")
        for row, expected in zip(served, local, strict=True):
            for column, tolerance in (("raw_score", 1e-6), ("quality", 1e-4)):
                value = expected.pop(column)
                assert row.pop(column) == pytest.approx(value, rel=tolerance)
        assert _without_time(served) == _without_time(local)
        assert "person_a_1.jpg" in (tmp_path / name / "report.html").read_text()
        assert (tmp_path / name / "scores.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "columns"),
    [
        ((), [("ser-fiq", "score"), ("grafiqs", "b2")]),
        (("--scorer", "grafiqs"), [("grafiqs", "b2")]),
        (("--aligned",), [("ser-fiq", "score"), ("grafiqs", "b2")]),
        (
            ("--aligned", "--scorer", "grafiqs", "--all-outputs"),
            [("grafiqs", "image"), ("grafiqs", "b2")],
        ),
    ],
)
def test_columns(command, folder, stand_in, tmp_path, arguments, columns):
    out = tmp_path / "out"
    code, err = command(folder, "-o", out, "--server", stand_in.address, *arguments)
    assert code == 0, err
    rows = _rows(out)
    assert [(row["scorer"], row["output"]) for row in rows] == columns * 11
    assert [row["reason"] for row in rows[-len(columns) :]] == ["not_an_image"] * len(columns)


def test_faces_are_found_here_on_demand(command, faces_dir, stand_in, tmp_path):
    arguments = (faces_dir / "person_a_1.jpg", "--server", stand_in.address)
    assert command(*arguments, "-o", tmp_path / "there")[0] == 0
    assert command(*arguments, "-o", tmp_path / "here", "--faces", "all")[0] == 0
    assert [model for model, _, _ in stand_in.seen] == ["fiqa", "ser_fiq", "grafiqs"]
    assert _rows(tmp_path / "there")[0]["box"] == [7, 7, 7, 7]
    assert _rows(tmp_path / "here")[0]["box"] != [7, 7, 7, 7]


def test_settings_name_where_the_numbers_come_from(command, folder, stand_in, tmp_path):
    out = tmp_path / "out"
    assert command(folder, "-o", out, "--server", stand_in.address)[0] == 0
    run = json.loads((out / "run.json").read_text())
    origins = [(column["output"], column["provenance"]["scorer"]) for column in run["served"]]
    assert origins == [("score", "ser-fiq"), ("b2", "grafiqs")]
    assert stand_in.address not in json.dumps(run)  # the server may move between two runs


@pytest.mark.parametrize(
    "option",
    [
        ("--weights", "a.pth"),
        ("--backbone", "iresnet50"),
        ("--precision", "float32"),
        ("--device", "cpu"),
        ("--engine", "torch"),
        ("--variant", "official"),
        ("--option", "faceqan.k=2"),
        ("--seed", "0"),
        ("--batch-size", "16"),
        ("--explain",),
    ],
)
def test_what_the_server_decides_is_refused(command, folder, tmp_path, option):
    code, err = command(folder, "-o", tmp_path / "out", "--server", "localhost:1", *option)
    assert code == 2
    assert f"got {option[0]}" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--server", "localhost"), 2, "HOST:PORT"),
        (("--server", "ftp://localhost:1"), 2, "grpc://"),
        (("--server", "localhost:1", "--server-timeout", "0.5"), 1, "localhost:1"),
        (("--scorer", "faceqan"), 2, "'faceqan'"),
        (("--scorer", "faceqan", "--aligned"), 1, "'faceqan'"),
        (("--scorer", ","), 2, "one scorer or more"),
        (("--all-outputs",), 2, "all_outputs: true"),
    ],
)
def test_what_cannot_be_done(command, folder, stand_in, tmp_path, arguments, code, message):
    server = () if "--server" in arguments else ("--server", stand_in.address)
    told, err = command(folder, "-o", tmp_path / "out", *server, *arguments)
    assert told == code
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_token_comes_from_the_environment(command, folder, stand_in, tmp_path, monkeypatch):
    stand_in.token = "open sesame"
    arguments = (folder, "-o", tmp_path / "out", "--server", stand_in.address)
    code, err = command(*arguments)
    assert code == 1
    assert "no valid token" in err
    monkeypatch.setenv("FIQA_SERVER_TOKEN", "open sesame")
    assert command(*arguments)[0] == 0


def test_a_server_that_goes_away(command, folder, stand_in, tmp_path):
    out = tmp_path / "out"
    arguments = (folder, "-o", out, "--server", stand_in.address)
    ensemble = stand_in.models["fiqa"].answer
    answered = []

    def answer(inputs):
        if len(answered) == 6:
            stand_in.faults.extend([UNAVAILABLE] * 1000)
        answered.append(1)
        return ensemble(inputs)

    stand_in.models["fiqa"].answer = answer
    code, err = command(*arguments)
    assert code == 1
    missing = [Path(line) for line in (out / "unscored.txt").read_text().splitlines()]
    assert f"{len(missing)} of 11 images have no score yet" in err
    assert "going away" in err
    assert all(path.name in err for path in missing[:10])
    with (out / "scores.csv").open() as file:
        kept = {line.split(",")[0] for line in file.readlines()[1:]}
    assert kept | set(map(str, missing)) == set(map(str, folder.iterdir()))
    assert not kept & set(map(str, missing))
    assert not (out / "scores.parquet").exists()

    stand_in.faults.clear()
    stand_in.models["fiqa"].answer = ensemble
    code, err = command(*arguments, "--resume")
    assert code == 0, err
    assert not (out / "unscored.txt").exists()
    paths = [row["path"] for row in _rows(out)]
    assert paths == sorted(str(path) for path in folder.iterdir() for _ in range(2))


def test_another_server_does_not_continue_a_run(command, folder, stand_in, tmp_path):
    arguments = (folder, "-o", tmp_path / "out", "--server", stand_in.address, "--aligned")
    assert command(*arguments)[0] == 0
    stand_in.models["ser_fiq"].promise = provenance("ser-fiq", backbone="iresnet50").to_json()
    code, err = command(*arguments, "--resume")
    assert code == 1
    assert "got others for served" in err


COUNT = 150


def test_a_server_that_changes_its_models(command, folder, stand_in, tmp_path):
    ensemble = stand_in.models["fiqa"]
    answer = ensemble.answer

    def answer_and_change(inputs):
        if len(stand_in.seen) == 5:
            ensemble.version = "2"
            ensemble.promise = ensemble.promise.replace('"sface"', '"iresnet50"')
        return answer(inputs)

    ensemble.answer = answer_and_change
    code, err = command(folder, "-o", tmp_path / "out", "--server", stand_in.address)
    assert code == 1
    assert "got another for ser-fiq" in err
    kept = (tmp_path / "out" / "scores.csv").read_text()
    assert "iresnet50" not in kept
    assert "images have no score yet" in err


def test_killed_and_resumed(triton, golden_dir, tmp_path):
    """kill -9 in the middle of a job: nothing is lost, nothing is there twice."""
    images = tmp_path / "images"
    images.mkdir()
    crops = sorted((golden_dir / "crops").iterdir())
    for number in range(COUNT):
        shutil.copy(crops[number % len(crops)], images / f"{number:03d}.png")
    out = tmp_path / "out"
    command = [Path(sys.executable).with_name("fiqa-fast"), "score", images, "-o", out, "--aligned"]
    command += ["--server", triton.grpc_address, "--scorer", "embedding-norm"]
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
            while _count_lines(out / "scores.csv") < 20:
                assert run.poll() is None, run.stderr.read()
                time.sleep(0.01)
            triton.kill()
            _, err = run.communicate(timeout=120)
    finally:
        triton.restart()
    assert run.returncode == 1, err
    missing = (out / "unscored.txt").read_text().splitlines()
    assert 0 < len(missing) < COUNT
    assert f"{len(missing)} of {COUNT} images have no score yet" in err

    resumed = subprocess.run([*command, "--resume"], stderr=subprocess.PIPE, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    rows = _rows(out)
    names = [Path(row["path"]).name for row in rows]
    assert names == [f"{number:03d}.png" for number in range(COUNT)]
    assert {row["status"] for row in rows} == {"ok"}
    of_crops = [row["raw_score"] for row in rows[: len(crops)]]
    assert [row["raw_score"] for row in rows] == (of_crops * COUNT)[:COUNT]


def _count_lines(path):
    return len(path.read_text().splitlines()) if path.exists() else 0
