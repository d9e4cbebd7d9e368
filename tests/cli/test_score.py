import csv
import io
import json
import os
import struct
import zlib
from dataclasses import fields, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fiqa_fast.calibration import (
    DiscardThreshold,
    ReferenceScores,
    ScoreSource,
    fit_calibration,
    to_json,
)
from fiqa_fast.pipeline import FaceFinder

FAST = ("--scorer", "embedding-norm")


def _rows(folder):
    return pq.read_table(folder / "scores.parquet").to_pylist()


def _huge_png(side: int) -> bytes:
    """A valid PNG of side x side pixels of one bit, small in bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = bytes(1 + side // 8)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    image = zlib.compress(row * side, 1)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", image) + chunk(b"IEND", b"")
    )


@pytest.fixture
def difficult_folder(tmp_path, faces_dir):
    folder = tmp_path / "difficult"
    folder.mkdir()
    photo_path = faces_dir / "person_b_2.jpg"
    photo = Image.open(photo_path)
    (folder / "empty.jpg").write_bytes(b"")
    content = photo_path.read_bytes()
    (folder / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_text("This is not an image.\n" * 20)
    Image.new("RGB", (1, 1)).save(folder / "one_pixel.png")
    (folder / "huge.png").write_bytes(_huge_png(20_000))
    sky, field = np.full((200, 600, 3), (150, 190, 240)), np.full((200, 600, 3), (60, 120, 40))
    texture = np.random.default_rng(0).integers(-15, 15, (400, 600, 1))
    landscape = np.clip(np.vstack([sky, field]) + texture, 0, 255).astype(np.uint8)
    Image.fromarray(landscape).save(folder / "landscape.jpg")
    photo.convert("L").save(folder / "grey.jpg")
    alpha = photo.convert("RGBA")
    alpha.putalpha(255)
    alpha.save(folder / "alpha.png")
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "rotated.jpg", exif=exif, quality=95)
    return folder


def test_every_difficult_file_becomes_a_row(fiqa_fast_command, difficult_folder, tmp_path):
    code, _, err = fiqa_fast_command("score", difficult_folder, "-o", tmp_path / "out", *FAST)
    assert code == 0, err
    rows = {row["path"].rsplit("/", 1)[-1]: row for row in _rows(tmp_path / "out")}
    reasons = {name: row["reason"] for name, row in rows.items()}
    assert reasons == {
        "alpha.png": "",
        "cmyk.jpg": "",
        "empty.jpg": "empty_file",
        "grey.jpg": "",
        "huge.png": "image_too_large",
        "landscape.jpg": "no_face",
        "one_pixel.png": "no_face",
        "rotated.jpg": "",
        "text.jpg": "not_an_image",
        "truncated.jpg": "corrupt_image",
    }
    for name, row in rows.items():
        scored = reasons[name] == ""
        assert row["status"] == ("ok" if scored else "failed")
        assert (row["raw_score"] is not None) == scored
        assert (row["quality"] is not None) == scored
        assert scored or row["note"]
    # The rotated photograph was turned upright: its score is that of the others.
    assert abs(rows["rotated.jpg"]["raw_score"] / rows["alpha.png"]["raw_score"] - 1) < 0.03


def test_table_csv_and_report_agree(fiqa_fast_command, faces_dir, tmp_path):
    out = tmp_path / "out"
    code, stdout, err = fiqa_fast_command(
        "score", faces_dir, "-o", out, "--scorer", "grafiqs,embedding-norm", "--batch-size", 4
    )
    assert code == 0, err
    assert "6 images" in stdout
    assert "report.html" in err
    rows = _rows(out)
    assert len(rows) == 12
    with (out / "scores.csv").open(newline="") as file:
        from_csv = list(csv.DictReader(file))
    assert [float(r["raw_score"]) for r in from_csv] == [r["raw_score"] for r in rows]
    assert {r["output"] for r in rows if r["scorer"] == "grafiqs"} == {"b2"}
    report = (out / "report.html").read_text()
    for row in rows:
        assert row["path"].rsplit("/", 1)[-1] in report


def test_settings_reach_the_rows(fiqa_fast_command, faces_dir, tmp_path):
    code, _, err = fiqa_fast_command(
        *("score", faces_dir / "impostor_1.jpg", "-o", tmp_path / "out", "--scorer", "faceqan"),
        *("--option", "faceqan.k=2", "--option", "faceqan.l=1", "--seed", 7, "--variant", "paper"),
    )
    assert code == 0, err
    (row,) = _rows(tmp_path / "out")
    assert (row["seed"], row["variant"], row["device"]) == (7, "paper", "cpu")
    assert row["quality"] is None
    assert row["parameters"] == '{"eps": 0.001, "k": 2, "l": 1, "p": 5}'
    assert row["quality_reason"].startswith(
        f"no calibration for faceqan with the parameters {row['parameters']} (the nearest has"
    )
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    used = {"output": "score", "k": 2, "l": 1, "eps": 0.001, "p": 5, "variant": "paper"}
    assert used.items() <= run["scorers"]["faceqan"].items()


def test_paths_on_standard_input(fiqa_fast_command, faces_dir, tmp_path, monkeypatch):
    names = f"{faces_dir / 'impostor_1.jpg'}\n\n{tmp_path / 'gone.jpg'}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(names))
    code, _, err = fiqa_fast_command("score", "-", "-o", tmp_path / "out", *FAST)
    assert code == 0, err
    assert [r["reason"] for r in _rows(tmp_path / "out")] == ["", "file_not_found"]


def _calibration(tmp_path, row, raw_scores, **changes):
    """A file with a calibration for the scores of a row, and a threshold."""
    source = ScoreSource(**{f.name: row[f.name] for f in fields(ScoreSource)} | changes)
    reference = ReferenceScores(source, (), np.array(raw_scores), row["version"])
    calibration = fit_calibration(reference, reference_set="made up", kind="sigmoid")
    threshold = float(np.median(raw_scores))
    discard = DiscardThreshold(
        *("discard_fraction", 0.5, threshold, calibration.quality(threshold), 0.5, 0.5),
        *(0.1, 0.05, 0.001, 0.001, 0.4, 100, 1000, ()),
    )
    path = tmp_path / f"{source.scorer}_{source.variant}.json"
    path.write_text(to_json([replace(calibration, discard=discard)]))
    return path, calibration


def test_calibrations_of_the_user(fiqa_fast_command, faces_dir, tmp_path):
    arguments = ("score", faces_dir, "-o", tmp_path / "out", *FAST)
    assert fiqa_fast_command(*arguments)[0] == 0
    before = _rows(tmp_path / "out")
    raw = [row["raw_score"] for row in before]
    fitting, calibration = _calibration(tmp_path, before[0], raw * 4)
    other, _ = _calibration(tmp_path, before[0], raw * 4, variant="paper")
    code, out, err = fiqa_fast_command(
        *(*arguments, "--overwrite", "--calibration", fitting, "--calibration", other)
    )
    assert code == 0, err
    after = _rows(tmp_path / "out")
    assert [r["quality"] for r in after] == [calibration.quality(value) for value in raw]
    assert "embedding-norm: 3 of 6 faces are below the recommended quality 50.0" in out
    assert f"{other} fits none of the scores" in " ".join(err.split())
    assert str(fitting) not in err
    code, out, err = fiqa_fast_command(*arguments, "--overwrite", "--calibration", other)
    assert code == 0, err
    assert [r["quality"] for r in _rows(tmp_path / "out")] == [r["quality"] for r in before]
    assert "below the recommended quality" not in out


def test_a_run_is_resumed_with_its_calibrations_only(fiqa_fast_command, faces_dir, tmp_path):
    arguments = ("score", faces_dir / "impostor_1.jpg", "-o", tmp_path / "out", *FAST)
    assert fiqa_fast_command(*arguments)[0] == 0
    (row,) = _rows(tmp_path / "out")
    path, _ = _calibration(tmp_path, row, np.linspace(0, 1, 20))
    code, _, err = fiqa_fast_command(*arguments, "--resume", "--calibration", path)
    assert code == 1
    assert "got others for calibrations" in " ".join(err.split())


def test_aligned_crops_and_all_outputs(fiqa_fast_command, golden_dir, crop_names, tmp_path):
    code, _, err = fiqa_fast_command(
        *(
            "score",
            golden_dir / "crops" / crop_names[0],
            "--aligned",
            "--all-outputs",
            "--scorer",
            "grafiqs",
        ),
        *("-o", tmp_path / "out"),
    )
    assert code == 0, err
    rows = _rows(tmp_path / "out")
    assert [r["output"] for r in rows] == ["mse_bns", "image", "b1", "b2", "b3", "b4"]
    assert rows[0]["landmarks"] is None


def test_an_interrupted_run_is_resumed(fiqa_fast_command, faces_dir, tmp_path, monkeypatch):
    arguments = ("score", faces_dir, "-o", tmp_path / "out", *FAST, "--batch-size", 1)
    original = FaceFinder.find
    started = []

    def interrupted(self, source, number=0):
        started.append(source)
        if len(started) > 4:
            raise KeyboardInterrupt
        return original(self, source, number)

    with monkeypatch.context() as patched:
        patched.setattr(FaceFinder, "find", interrupted)
        code, _, err = fiqa_fast_command(*arguments)
    assert code == 130
    assert "continue with --resume" in err
    assert not (tmp_path / "out" / "scores.parquet").exists()

    assert fiqa_fast_command(*arguments)[0] == 1  # would overwrite
    code, _, err = fiqa_fast_command(*arguments, "--resume")
    assert code == 0, err
    assert "images are already scored" in err
    resumed = _rows(tmp_path / "out")
    assert fiqa_fast_command(*arguments, "--overwrite")[0] == 0
    whole = _rows(tmp_path / "out")
    for row in resumed + whole:
        del row["elapsed_ms"]
    assert resumed == whole


def test_a_name_that_is_not_utf8_is_recognised_when_a_run_is_resumed(
    fiqa_fast_command, faces_dir, tmp_path
):
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [b"caf\xe9.jpg", b"z1.jpg", b"z2.jpg"]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes((faces_dir / "impostor_1.jpg").read_bytes())
    arguments = ("score", folder, "-o", tmp_path / "out", *FAST)
    assert fiqa_fast_command(*arguments)[0] == 0
    assert fiqa_fast_command(*arguments, "--resume")[0] == 0
    paths = [row["path"].rsplit("/", 1)[-1] for row in _rows(tmp_path / "out")]
    assert sorted(paths) == ["caf\\xe9.jpg", "z1.jpg", "z2.jpg"]


def test_nothing_to_score(fiqa_fast_command, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = fiqa_fast_command("score", tmp_path / "empty", "-o", tmp_path / "out", *FAST)
    assert code == 3
    assert "nothing to score" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scorer", "grafix"), "one of grafiqs, faceqan"),
        (("--scorer", ","), "name of a method"),
        (("--scorer", "faceqan", "--option", "faceqan.q=1"), "faceqan.k, faceqan.l"),
        (("--scorer", "faceqan", "--option", "faceqan.k=x"), "of type int, got 'x'"),
        (("--option", "faceqan.k=1"), "that --scorer names the method"),
        (("--faces", "best"), "largest, central, all"),
        (("--variant", "mine"), "official or paper"),
        (("--precision", "int1"), "float32, bf16, fp16"),
        (("--backbone", "arcface"), "one of sface"),
        (("--batch-size", "0"), "batch_size of 1 or more"),
        (("--seed", "-1"), "whole number 0 <= seed"),
        (("--resume", "--overwrite"), "choose one"),
        (("--calibration", "none.json"), "expected a readable JSON file, got none.json"),
        (("--no-such-option",), "No such option"),
        (("--batch-size", "many"), "as an integer"),
    ],
)
def test_wrong_options(fiqa_fast_command, faces_dir, tmp_path, arguments, message):
    code, _, err = fiqa_fast_command("score", faces_dir, "-o", tmp_path / "out", *arguments)
    assert code == 2
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cuda:99"), "fiqa-fast doctor"),
        (("--weights", "none.onnx"), "expected a readable file"),
        (("--resume",), "found none"),
    ],
)
def test_what_is_missing(fiqa_fast_command, faces_dir, tmp_path, arguments, message):
    code, _, err = fiqa_fast_command("score", faces_dir, "-o", tmp_path / "out", *FAST, *arguments)
    assert code == 1
    assert message in " ".join(err.split())


@pytest.mark.parametrize("option", [("--batch-size", "0"), ("--max-megapixels", "-3")])
def test_a_refused_option_leaves_the_results_alone(fiqa_fast_command, faces_dir, tmp_path, option):
    common = ("score", faces_dir / "impostor_1.jpg", "-o", tmp_path, "--scorer", "embedding-norm")
    assert fiqa_fast_command(*common)[0] == 0
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert fiqa_fast_command(*common, "--overwrite", *option)[0] == 2
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_misspelt_name_is_nothing_to_score(fiqa_fast_command, tmp_path):
    code, _, err = fiqa_fast_command(
        *("score", tmp_path / "phh", "-o", tmp_path / "out", "--scorer", "embedding-norm")
    )
    assert code == 3
    assert "nothing to score: no file behind" in err
    assert len(_rows(tmp_path / "out")) == 1


def test_a_damaged_run_file_is_no_traceback(fiqa_fast_command, faces_dir, tmp_path):
    common = ("score", faces_dir / "impostor_1.jpg", "-o", tmp_path, "--scorer", "embedding-norm")
    assert fiqa_fast_command(*common)[0] == 0
    (tmp_path / "run.json").write_text("")
    code, _, err = fiqa_fast_command(*common, "--resume")
    assert code == 1
    assert "damaged file" in err


def test_pictures_of_an_earlier_run_are_not_scored(fiqa_fast_command, golden_dir, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    name = "person_a_1.png"
    (folder / name).write_bytes((golden_dir / "crops" / name).read_bytes())
    common = ("--aligned", "--scorer", "grafiqs")
    assert fiqa_fast_command("score", folder, "-o", folder / "run", *common, "--explain")[0] == 0
    assert len(list((folder / "run" / "explanations").iterdir())) == 1
    assert fiqa_fast_command("score", folder, "-o", tmp_path / "again", *common)[0] == 0
    assert len(_rows(tmp_path / "again")) == 1


def test_weights_for_a_method_that_does_not_run(fiqa_fast_command, faces_dir, tmp_path):
    code, _, err = fiqa_fast_command(
        *("score", faces_dir / "impostor_1.jpg", "-o", tmp_path / "out"),
        *("--scorer", "ser-fiq", "--weights", "cr-fiqa=x.pth"),
    )
    assert code == 2
    assert "name the method in --scorer too" in " ".join(err.split())
