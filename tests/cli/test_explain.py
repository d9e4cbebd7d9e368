import pyarrow.parquet as pq
import pytest
from PIL import Image

from fiqa_fast.pipeline import FaceFinder

EXPLAINED = ("--scorer", "grafiqs,embedding-norm", "--explain")


def _rows(folder):
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    for row in rows:
        del row["elapsed_ms"]
    return rows


def _pictures(folder):
    return sorted((folder / "explanations").iterdir())


def test_a_picture_for_each_face_and_explaining_method(fiqa_fast_command, faces_dir, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    sources = (faces_dir / "impostor_1.jpg", tmp_path / "text.jpg")
    code, _, err = fiqa_fast_command(
        *("score", *sources, "-o", tmp_path / "out", "--explain"),
        *("--scorer", "grafiqs,faceqan,embedding-norm"),
        *("--option", "faceqan.k=2", "--option", "faceqan.l=2"),
    )
    assert code == 0, err
    assert "explanations" in err
    texts = [Image.open(file).text for file in _pictures(tmp_path / "out")]
    assert [(t["scorer"], t["output"]) for t in texts] == [("faceqan", "score"), ("grafiqs", "b2")]
    assert all(text["path"] == str(sources[0]) for text in texts)
    raw = {r["scorer"]: r["raw_score"] for r in _rows(tmp_path / "out") if r["status"] == "ok"}
    assert {t["scorer"]: float(t["raw_score"]) for t in texts}.items() <= raw.items()
    assert texts[0]["seed"] == "0"

    # The rows do not depend on whether they are explained.
    plain = fiqa_fast_command(
        *(
            "score",
            *sources,
            "-o",
            tmp_path / "plain",
            "--scorer",
            "grafiqs,faceqan,embedding-norm",
        ),
        *("--option", "faceqan.k=2", "--option", "faceqan.l=2"),
    )
    assert plain[0] == 0, plain[2]
    assert _rows(tmp_path / "plain") == _rows(tmp_path / "out")
    assert not (tmp_path / "plain" / "explanations").exists()


def test_every_output_that_has_a_map(fiqa_fast_command, golden_dir, crop_names, tmp_path):
    code, _, err = fiqa_fast_command(
        *("score", golden_dir / "crops" / crop_names[0], "--aligned", "--all-outputs"),
        *(*EXPLAINED, "-o", tmp_path),
    )
    assert code == 0, err
    outputs = [Image.open(file).text["output"] for file in _pictures(tmp_path)]
    assert outputs == ["b1", "b2", "b3", "b4", "image"]


def test_an_interrupted_run_is_resumed(fiqa_fast_command, faces_dir, tmp_path, monkeypatch):
    photos = sorted(faces_dir.glob("*.jpg"))[:3]
    arguments = ("score", *photos, *EXPLAINED, "--batch-size", 1, "-o")
    original = FaceFinder.find
    started = []

    def interrupted(self, source, number=0):
        started.append(source)
        if len(started) > 2:
            raise KeyboardInterrupt
        return original(self, source, number)

    with monkeypatch.context() as patched:
        patched.setattr(FaceFinder, "find", interrupted)
        assert fiqa_fast_command(*arguments, tmp_path / "out")[0] == 130
    assert len(_pictures(tmp_path / "out")) == 2
    code, _, err = fiqa_fast_command(*arguments, tmp_path / "out", "--resume")
    assert code == 0, err
    assert fiqa_fast_command(*arguments, tmp_path / "whole")[0] == 0
    resumed, whole = _pictures(tmp_path / "out"), _pictures(tmp_path / "whole")
    assert len(whole) == 3
    assert [f.name for f in resumed] == [f.name for f in whole]
    assert [f.read_bytes() for f in resumed] == [f.read_bytes() for f in whole]


@pytest.mark.parametrize("explained", [True, False])
def test_overwriting_removes_the_pictures_of_the_run_before(
    fiqa_fast_command, golden_dir, crop_names, tmp_path, explained
):
    crops = [golden_dir / "crops" / name for name in crop_names[:2]]
    common = ("--aligned", "--scorer", "grafiqs", "-o", tmp_path)
    assert fiqa_fast_command("score", crops[0], *common, "--explain")[0] == 0
    (tmp_path / "explanations" / "mine.png").write_bytes(b"")
    choice = ("--overwrite", "--explain") if explained else ("--overwrite",)
    code, _, err = fiqa_fast_command("score", crops[1], *common, *choice)
    assert code == 0, err
    left = [file.name.split("-")[0] for file in _pictures(tmp_path)]
    assert left == sorted(["mine.png", *([crops[1].stem] if explained else [])])


@pytest.mark.parametrize(
    "option", [("embedding-norm",), ("grafiqs", "--option", "grafiqs.output=mse_bns")]
)
def test_nothing_to_explain(fiqa_fast_command, faces_dir, tmp_path, option):
    code, _, err = fiqa_fast_command(
        "score", faces_dir, "-o", tmp_path / "out", "--explain", "--scorer", *option
    )
    assert code == 2
    assert "expected a method that can explain its scores" in " ".join(err.split())
    assert not (tmp_path / "out").exists()
