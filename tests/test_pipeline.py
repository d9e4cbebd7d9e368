import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import fiqa_fast
from fiqa_fast.calibration import ReferenceScores, fit_calibration, source_of
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.images.decode import decode_image
from fiqa_fast.pipeline import FaceFinder, score_images, score_stream
from fiqa_fast.scorers.registry import create_scorer


@pytest.fixture(scope="module")
def norm(sface32):
    return create_scorer("embedding-norm", backbone=sface32)


@pytest.fixture(scope="module")
def photos(faces_dir):
    return sorted(str(p) for p in faces_dir.glob("*.jpg"))


def _raw(rows):
    return [row.score.raw_score for row in rows]


def test_a_photograph_becomes_a_traceable_row(norm, photos):
    (row,) = score_images(photos[:1], norm)
    assert row.status == "ok"
    assert row.path == photos[0]
    assert row.face_index == 0
    assert len(row.box) == 4
    assert len(row.landmarks) == 10
    score = row.score
    assert (score.scorer, score.output, score.backbone) == ("embedding-norm", "score", "sface")
    assert score.version == fiqa_fast.__version__
    assert (score.precision, score.device, score.engine) == ("float32", "cpu", "torch")
    assert len(score.weights_sha256) == 64
    assert (score.parameters, score.bn_statistics) == ("{}", "training")
    assert 0 <= score.quality <= 100
    assert score.seed is None
    assert row.elapsed_ms > 0


def test_photographs_score_like_the_golden_crops(norm, photos, crops, crop_names):
    """Detection and alignment lead to the crops that the golden numbers were made on."""
    by_name = dict(zip(crop_names, crops, strict=True))
    golden = np.stack([by_name[p.rsplit("/", 1)[-1].replace(".jpg", ".png")] for p in photos])
    np.testing.assert_allclose(_raw(score_images(photos, norm)), norm.score(golden), rtol=2e-3)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_rows_keep_the_order_of_the_sources(norm, photos, tmp_path, batch_size):
    (tmp_path / "text.jpg").write_text("no image")
    sources = [photos[3], str(tmp_path / "text.jpg"), photos[0], "missing.png", photos[1]]
    rows = score_images(sources, norm, batch_size=batch_size)
    assert [row.path for row in rows] == sources
    assert [row.reason for row in rows] == ["", "not_an_image", "", "file_not_found", ""]
    assert _raw(rows)[0::2] == _raw(score_images([photos[3], photos[0], photos[1]], norm))
    failed = rows[1]
    assert failed.score.raw_score is None
    assert failed.score.quality is None
    assert failed.score.quality_reason == "no score"
    assert failed.face_index is None


def test_a_blank_image_has_a_reason_and_never_a_score(norm):
    (row,) = score_images([np.full((300, 300, 3), 200, np.uint8)], norm)
    assert (row.status, row.reason) == ("failed", "no_face")
    assert row.score.raw_score is None
    assert "300x300" in row.note
    assert row.path == "<array 0>"


def test_pixels_in_memory_score_like_their_file(norm, photos):
    pixels = decode_image(photos[0]).pixels
    assert _raw(score_images([pixels], norm)) == _raw(score_images(photos[:1], norm))


def test_several_faces_in_one_photograph(norm, photos):
    pair = [decode_image(p).pixels for p in photos[:2]]
    height = min(p.shape[0] for p in pair)
    both = np.hstack([p[:height] for p in pair])
    everyone = score_images([both], norm, faces="all")
    assert [row.face_index for row in everyone] == [0, 1]
    (largest,) = score_images([both], norm, faces="largest")
    assert largest.score == everyone[0].score
    (central,) = score_images([both], norm, faces="central")
    assert central.score.raw_score in _raw(everyone)
    assert central.box == everyone[central.face_index].box


def test_crops_are_taken_as_they_are(norm, crops):
    rows = score_images(list(crops[:3]), norm, aligned=True)
    assert _raw(rows) == norm.score(crops[:3]).tolist()
    assert all(row.box is None and row.note == "" for row in rows)
    (resized,) = score_images([np.ascontiguousarray(crops[0][:96])], norm, aligned=True)
    assert resized.note == "resized from 112x96"


def test_every_output_of_several_scorers(sface32, norm, crops):
    grafiqs = create_scorer("grafiqs", backbone=sface32)
    rows = score_images([crops[0], crops[1]], [grafiqs, norm], aligned=True, all_outputs=True)
    names = [(r.score.scorer, r.score.output) for r in rows]
    assert names[:7] == [("grafiqs", o) for o in grafiqs.spec.outputs] + [names[6]]
    assert names[6] == ("embedding-norm", "score")
    assert names[7:] == names[:7]
    (default, _) = score_images([crops[0]], [grafiqs, norm], aligned=True)
    assert default.score.output == "b2"
    assert default.score.raw_score == rows[3].score.raw_score


def test_names_of_scorers_share_one_network(crops, monkeypatch):
    loads = []
    original = fiqa_fast.pipeline.load_backbone

    def load(name):
        loads.append(name)
        return original(name)

    monkeypatch.setattr("fiqa_fast.pipeline.load_backbone", load)
    rows = score_images([crops[0]], ["embedding-norm", "grafiqs"], aligned=True)
    assert [r.score.scorer for r in rows] == ["embedding-norm", "grafiqs"]
    assert loads == ["sface"]


def test_several_methods_of_one_scorer_give_rows_each(sface32, crops):
    both = create_scorer(["embedding-norm", "grafiqs"], backbone=sface32)
    rows = score_images([crops[0]], both, aligned=True)
    assert [r.score.scorer for r in rows] == ["embedding-norm", "grafiqs"]
    assert rows[0].score.raw_score == both.score(crops[:1])["embedding-norm"].item()


def test_a_method_without_its_weights_is_refused(crops):
    with pytest.raises(WeightsError, match=r"weights of cr-fiqa.*32572backbone\.pth"):
        score_images([crops[0]], "cr-fiqa", aligned=True)


def test_a_scorer_that_fails_on_one_crop_scores_the_others(norm, crops, monkeypatch):
    original = norm._evaluate

    def fails_on_black(forward, outputs, noise):
        if not forward.crops.any():
            raise RuntimeError("out of memory")
        return original(forward, outputs, noise)

    monkeypatch.setattr(norm, "_evaluate", fails_on_black)
    rows = score_images([crops[0], crops[0] * 0, crops[1]], norm, aligned=True)
    assert [row.status for row in rows] == ["ok", "failed", "ok"]
    assert rows[1].reason == "scoring_failed"
    assert "RuntimeError: out of memory" in rows[1].note


def test_a_score_that_is_not_finite_is_a_failure(norm, crops, monkeypatch):
    monkeypatch.setattr(norm, "_evaluate", lambda *_: {"score": torch.tensor([torch.nan])})
    (row,) = score_images([crops[0]], norm, aligned=True)
    assert (row.status, row.reason, row.note) == ("failed", "scoring_failed", "the score is nan")


def test_a_fault_in_a_library_costs_one_image(norm, photos, monkeypatch):
    finder = FaceFinder()
    original = finder.detector.detect

    def detect(pixels):
        if pixels.shape[0] < 20:
            raise MemoryError("no memory")
        return original(pixels)

    monkeypatch.setattr(finder.detector, "detect", detect)
    sources = [np.zeros((8, 8, 3), np.uint8), photos[0]]
    rows = [row for image in score_stream(sources, [norm], finder=finder) for row in image]
    assert [row.reason for row in rows] == ["internal_error", ""]
    assert "MemoryError" in rows[0].note


def test_the_stream_reads_only_a_little_ahead(norm, crops):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield crops[0]

    stream = score_stream(endless(), [norm], finder=FaceFinder(None), batch_size=2, threads=1)
    for _ in range(5):
        next(stream)
    assert len(taken) < 20
    stream.close()
    assert not any(t.name.startswith("fiqa-faces") and t.is_alive() for t in _settled_threads())


def _settled_threads():
    for thread in threading.enumerate():
        if thread.name.startswith("fiqa-faces"):
            thread.join(timeout=5)
    return threading.enumerate()


def test_nothing_in_nothing_out(norm):
    assert score_images([], norm) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"faces": "best"}, "one of largest, central, all, got 'best'"),
        ({"batch_size": 0}, "batch_size of 1 or more, got 0"),
    ],
)
def test_wrong_arguments(norm, photos, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        score_images(photos[:1], norm, **arguments)


def test_given_calibrations_make_the_quality(norm, crops, monkeypatch):
    raw = norm.score(crops).tolist()
    reference = ReferenceScores(source_of(norm, "score"), (), np.array(raw * 2), "0.1.0")
    calibration = fit_calibration(reference, reference_set="the crops themselves")
    rows = score_images(list(crops), norm, aligned=True, calibrations=[calibration])
    assert [row.score.quality for row in rows] == [calibration.quality(value) for value in raw]
    assert rows[int(np.argmin(raw))].score.quality < 5
    assert rows[int(np.argmax(raw))].score.quality > 95
    packaged = score_images([crops[0]], norm, aligned=True)[0].score.quality
    assert packaged != rows[0].score.quality
    monkeypatch.setattr(norm.backbone, "bn_statistics", "re-estimated")
    (row,) = score_images([crops[0]], norm, aligned=True, calibrations=[calibration])
    assert row.score.bn_statistics == "re-estimated"
    assert row.score.quality is None
    assert "the BatchNorm statistics re-estimated" in row.score.quality_reason


def test_wrong_pixels(norm):
    with pytest.raises(InvalidArgumentError, match=r"expected pixels of shape \[H, W, 3\]"):
        score_images([np.zeros((5, 5), np.uint8)], norm)


@pytest.mark.parametrize("sources", ["portrait.jpg", Path("portrait.jpg"), np.zeros((2, 2, 3))])
def test_one_source_is_no_list_of_sources(norm, sources):
    with pytest.raises(InvalidArgumentError, match=r"expected a list .*put it into a list"):
        score_images(sources, norm)


def test_a_fault_in_a_method_costs_its_rows_only(norm, crops, monkeypatch):
    def fault(*_):
        raise IndexError("no such layer")

    monkeypatch.setattr(norm, "_evaluate", fault)
    (row,) = score_images([crops[0]], norm, aligned=True)
    assert (row.status, row.reason) == ("failed", "scoring_failed")
    assert "IndexError: no such layer" in row.note
