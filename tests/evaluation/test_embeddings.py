import threading

import cv2
import numpy as np
import pytest
import torch

from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.embeddings import compute_embeddings
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.images.decode import decode_image
from fiqa_fast.images.detect import YuNetDetector
from fiqa_fast.pipeline import FaceFinder


def _protocol(sources, aligned=True):
    return Protocol(
        name="Set",
        samples=tuple(f"s{i}" for i in range(len(sources))),
        sources=tuple(sources),
        aligned=aligned,
        identity=None,
        sample_a=np.array([0], np.int32),
        sample_b=np.array([1], np.int32),
        mated=np.array([True]),
    )


def _raw(backbone, crops):
    """Raw embeddings by the plain layers, one crop at a time."""
    rows = []
    for crop in crops:
        pixels = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None]
        with torch.no_grad():
            rows.append(backbone(backbone.normalise(pixels))[0].double().numpy())
    return np.stack(rows)


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def png(crops):
    return [cv2.imencode(".png", crop[..., ::-1])[1].tobytes() for crop in crops[:5]]


@pytest.mark.parametrize("augmentation", ["concatenate", "sum", "raw_sum", "none"])
def test_embeddings_are_those_of_the_plain_network(sface32, crops, png, augmentation):
    found = compute_embeddings(_protocol(png[:2]), sface32, augmentation=augmentation)
    e, f = _raw(sface32, crops[:2]), _raw(sface32, crops[:2, :, ::-1])
    expected = {
        "concatenate": np.concatenate([_unit(e), _unit(f)], axis=1),
        "sum": _unit(e + f),
        "raw_sum": e + f,
        "none": _unit(e),
    }[augmentation]
    assert found.embeddings.dtype == np.float32
    np.testing.assert_allclose(found.embeddings, expected, atol=2e-5 * abs(expected).max())
    assert found.samples == ("s0", "s1")
    assert found.reasons == {}


def test_the_cosine_of_both_is_the_mean_of_the_cosines(sface32, crops, png):
    rows = compute_embeddings(_protocol(png), sface32).embeddings.astype(float)
    e, f = _raw(sface32, crops[:2]), _raw(sface32, crops[:2, :, ::-1])
    mean = (np.prod(_unit(e), axis=0).sum() + np.prod(_unit(f), axis=0).sum()) / 2
    cosine = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    assert cosine == pytest.approx(mean, abs=1e-5)


def test_neither_batches_nor_threads_nor_neighbours_change_a_row(sface32, png):
    whole = compute_embeddings(_protocol(png), sface32).embeddings
    for options in ({"batch_size": 1}, {"batch_size": 2, "threads": 3}, {"batch_size": 100}):
        again = compute_embeddings(_protocol(png), sface32, **options).embeddings
        assert np.array_equal(whole, again)
    turned = compute_embeddings(_protocol(png[::-1]), sface32, batch_size=3).embeddings
    assert np.array_equal(whole[::-1], turned)


def test_bf16_and_the_reference(sface32, png):
    network = load_backbone("sface", precision="bf16", device="cpu")
    whole = compute_embeddings(_protocol(png), network, batch_size=2).embeddings
    exact = compute_embeddings(_protocol(png[:2]), sface32, engine="reference").embeddings
    assert np.array_equal(whole, compute_embeddings(_protocol(png), network).embeddings)
    np.testing.assert_allclose(whole[:2], exact, atol=2e-2)


def test_what_has_no_face_is_a_row_with_a_reason(sface32, png, faces_dir, tmp_path):
    photo = sorted(faces_dir.glob("*.jpg"))[0]
    (tmp_path / "text.jpg").write_text("no image")
    grey = cv2.imencode(".png", np.full((300, 300, 3), 128, np.uint8))[1].tobytes()
    sources = [grey, str(photo), str(tmp_path / "text.jpg"), str(tmp_path / "none.jpg"), photo]
    done = []
    found = compute_embeddings(
        _protocol(sources, aligned=False), sface32, batch_size=2, on_batch=done.append
    )
    assert np.isnan(found.embeddings).all(1).tolist() == [True, False, True, True, False]
    assert {name: reason.split(":")[0] for name, reason in found.reasons.items()} == {
        "s0": "no_face",
        "s2": "not_an_image",
        "s3": "file_not_found",
    }
    assert np.array_equal(found.embeddings[1], found.embeddings[4])
    assert done == [2, 4, 5]


def test_a_crop_on_which_the_network_fails_costs_its_row_alone(sface32, png, monkeypatch, crops):
    dark = cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
    original = type(sface32.spec.input).fitted

    def fitted(spec, batch):
        if any(not crop.any() for crop in batch):
            raise RuntimeError("out of memory")
        return original(spec, batch)

    monkeypatch.setattr(type(sface32.spec.input), "fitted", fitted)
    found = compute_embeddings(_protocol([png[0], dark, png[1]]), sface32)
    assert found.reasons == {"s1": "scoring_failed: RuntimeError: out of memory"}
    assert np.isnan(found.embeddings).all(1).tolist() == [False, True, False]


def test_an_embedding_of_no_length_has_no_direction(sface32, png, monkeypatch):
    monkeypatch.setattr(
        "fiqa_fast.evaluation.embeddings.working", lambda embedding: torch.zeros_like(embedding)
    )
    found = compute_embeddings(_protocol(png[:2]), sface32, augmentation="sum")
    assert set(found.reasons) == {"s0", "s1"}
    assert "no direction" in found.reasons["s0"]
    assert np.isnan(found.embeddings).all()


def test_landmarks_of_the_data_set_take_the_place_of_detection(sface32, faces_dir, monkeypatch):
    photos = [str(path) for path in sorted(faces_dir.glob("*.jpg"))[:3]]
    by_detection = _protocol(photos, aligned=False)
    detected = [YuNetDetector().detect(decode_image(path).pixels)[0] for path in photos]
    protocol = TemplateProtocol(
        name="Set",
        samples=by_detection.samples,
        sources=by_detection.sources,
        aligned=False,
        landmarks=np.stack([face.landmarks for face in detected]),
        templates=("1", "2"),
        template_sample=np.array([0, 1, 2], np.int32),
        template_of=np.array([0, 1, 1], np.int32),
        media_of=np.array([0, 1, 2], np.int32),
        template_a=np.array([0], np.int32),
        template_b=np.array([1], np.int32),
        mated=np.array([False]),
    )
    expected = compute_embeddings(by_detection, sface32).embeddings
    monkeypatch.setattr(YuNetDetector, "detect", None)
    found = compute_embeddings(protocol, sface32, batch_size=2)
    assert np.array_equal(found.embeddings, expected)
    degenerate = TemplateProtocol(**{**vars(protocol), "landmarks": np.ones((3, 5, 2), np.float32)})
    assert all("no_face" in r for r in compute_embeddings(degenerate, sface32).reasons.values())


def test_few_images_are_in_flight(sface32, png, monkeypatch):
    started, most = [0], [0]
    lock = threading.Lock()
    original = FaceFinder.find

    def find(self, source, number=0):
        with lock:
            started[0] += 1
        return original(self, source, number)

    monkeypatch.setattr(FaceFinder, "find", find)

    def on_batch(done):
        most[0] = max(most[0], started[0] - done)

    sources = [png[i % 5] for i in range(16)]
    compute_embeddings(
        _protocol(sources), sface32, batch_size=2, threads=2, on_batch=on_batch, augmentation="none"
    )
    assert most[0] <= 2 * 2 + 2
    assert started[0] == 16


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"augmentation": "both"}, "one of concatenate, sum, raw_sum, none, got 'both'"),
        ({"batch_size": 0}, "batch_size of 1 or more"),
        ({"engine": "fast"}, "expected engine"),
        ({"max_megapixels": 0}, "max_megapixels > 0"),
    ],
)
def test_wrong_arguments(sface32, png, options, said):
    with pytest.raises(InvalidArgumentError, match=said):
        compute_embeddings(_protocol(png), sface32, **options)


def test_networks_and_protocols_that_cannot_do(sface32, png):
    with pytest.raises(InvalidArgumentError, match="a network that gives an embedding"):
        compute_embeddings(_protocol(png), load_backbone("none"))
    without = Protocol(**{**vars(_protocol(png)), "sources": ()})
    with pytest.raises(InvalidArgumentError, match="images of its 5 samples, got 0"):
        compute_embeddings(without, sface32)
