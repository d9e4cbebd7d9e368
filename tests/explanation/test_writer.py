import dataclasses
import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fiqa_fast.backbones.input import InputSpec
from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.explanation.writer import (
    _FILE_NAME,
    ExplanationWriter,
    _as_the_network_sees,
    file_name,
    remove_explanations,
)
from fiqa_fast.pipeline import FaceFinder, score_stream
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.types import AlignedFace


@pytest.fixture(scope="module")
def grafiqs(sface32):
    return create_scorer("grafiqs", backbone=sface32)


@pytest.fixture(scope="module")
def norm(sface32):
    return create_scorer("embedding-norm", backbone=sface32)


@pytest.fixture(scope="module")
def scored(grafiqs, norm, crops):
    """A face with its rows: every output of two methods."""
    faces = []
    stream = score_stream(
        [crops[0]],
        [grafiqs, norm],
        finder=FaceFinder(None),
        all_outputs=True,
        on_face=lambda face, rows: faces.append((face, rows)),
    )
    assert len(list(stream)) == 1
    ((face, rows),) = faces
    return face, rows


def _row_of(scored, path, face_index=0):
    return dataclasses.replace(scored[1][0], path=path, face_index=face_index)


def test_a_picture_for_each_score_that_has_a_map(grafiqs, norm, scored, tmp_path):
    face, rows = scored
    writer = ExplanationWriter(tmp_path / "pictures", [grafiqs, norm], all_outputs=True)
    files = writer.write(face, rows)
    outputs = ["image", "b1", "b2", "b3", "b4"]
    assert [f.name.split("-", 2)[2] for f in files] == [f"0-grafiqs-{o}.png" for o in outputs]
    assert sorted(files) == sorted((tmp_path / "pictures").iterdir())
    by_output = {row.score.output: row for row in rows if row.score.scorer == "grafiqs"}
    sizes = {"image": "112x112", "b1": "112x112", "b2": "56x56", "b3": "28x28", "b4": "14x14"}
    for file, output in zip(files, outputs, strict=True):
        picture = Image.open(file)
        assert picture.size == (448, 224)
        text = picture.text
        score = by_output[output].score
        assert text["path"] == "<array 0>"
        assert (text["face_index"], text["scorer"], text["output"]) == ("0", "grafiqs", output)
        assert float(text["raw_score"]) == score.raw_score
        assert float(text["total"]) == pytest.approx(score.raw_score, rel=1e-6)
        assert text["map_size"] == sizes[output]
        assert text["weights_sha256"] == score.weights_sha256
        assert text["Software"] == f"fiqa_fast {score.version}"
        low, high = map(float, text["scale"].split(" (")[0].split(" to "))
        assert 0 <= low < high < float(text["total"])
        assert "seed" not in text


def test_the_same_face_gives_the_same_bytes(grafiqs, scored, tmp_path):
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "b"):
        (file,) = ExplanationWriter(folder, [grafiqs]).write(scored[0], scored[1][3:4])
        contents.append(file.read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_a_face_without_a_score_has_no_picture(grafiqs, scored, tmp_path):
    face, rows = scored
    failed = [dataclasses.replace(row, status="failed") for row in rows]
    assert ExplanationWriter(tmp_path / "pictures", [grafiqs]).write(face, failed) == []
    assert not (tmp_path / "pictures").exists()


def test_nothing_to_explain(sface32, norm, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"expected a method.*got embedding-norm score"):
        ExplanationWriter(tmp_path, [norm])
    loss = create_scorer("grafiqs", backbone=sface32, output="mse_bns")
    with pytest.raises(InvalidArgumentError, match="got grafiqs mse_bns, embedding-norm score"):
        ExplanationWriter(tmp_path, [loss, norm])


def test_a_folder_that_cannot_be_written(grafiqs, scored, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="expected to be able to write"):
        ExplanationWriter(tmp_path / "file", [grafiqs]).write(*scored)


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("photos/portrait.jpg", "portrait-"),
        ("two words: a\nb?.tar.gz", "two_words__a_b_.tar-"),
        ("caf\udce9.jpg", "caf_xe9-"),
        ("日本/顔.png", "顔-"),
        ("x/-rf.jpg", "rf-"),
        (".jpg", "jpg-"),
        ("..", "face-"),
        ("<array 3>", "_array_3_-"),
        (300 * "ä" + ".jpg", 40 * "ä" + "-"),
    ],
)
def test_names_of_files(scored, path, start):
    name = file_name(_row_of(scored, path, face_index=12))
    stored = path.replace("\udce9", "\\xe9")
    digest = hashlib.sha256(stored.encode()).hexdigest()[:8]
    assert name == f"{start}{digest}-12-grafiqs-mse_bns.png"


@given(path=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_path_gives_a_name_that_every_file_system_takes(scored, path):
    name = file_name(_row_of(scored, path))
    assert _FILE_NAME.fullmatch(name)
    assert len(name.encode()) <= 255
    assert name[0] not in "-."
    assert not set(name) & set('/\\:*?"<>|\n')


def test_files_of_one_name_do_not_meet(scored):
    names = {file_name(_row_of(scored, p, i)) for p in ("a/x.jpg", "b/x.jpg") for i in (0, 1)}
    assert len(names) == 4


def test_only_pictures_are_removed(grafiqs, scored, tmp_path):
    ExplanationWriter(tmp_path, [grafiqs], all_outputs=True).write(*scored)
    (tmp_path / "mine.png").write_bytes(b"")
    (tmp_path / "notes-0123abcd-0-grafiqs-b2.txt").write_text("")
    remove_explanations(tmp_path)
    left = sorted(file.name for file in tmp_path.iterdir())
    assert left == ["mine.png", "notes-0123abcd-0-grafiqs-b2.txt"]
    remove_explanations(tmp_path / "missing")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (InputSpec(), slice(None)),
        (InputSpec(112, 96, "centre"), slice(8, 104)),
    ],
)
def test_the_face_is_shown_as_the_network_sees_it(crops, spec, expected):
    scorer = SimpleNamespace(backbone=SimpleNamespace(spec=SimpleNamespace(input=spec)))
    np.testing.assert_array_equal(_as_the_network_sees(crops[0], scorer), crops[0][:, expected])


def test_the_crop_decides_the_picture(grafiqs, scored, tmp_path):
    face, rows = scored
    other = AlignedFace(face.path, np.ascontiguousarray(face.crop[:, ::-1]))
    first = ExplanationWriter(tmp_path / "a", [grafiqs]).write(face, rows[3:4])
    second = ExplanationWriter(tmp_path / "b", [grafiqs]).write(other, rows[3:4])
    left = [np.asarray(Image.open(f))[:, :224] for f in (*first, *second)]
    np.testing.assert_array_equal(left[0], left[1][:, ::-1])
