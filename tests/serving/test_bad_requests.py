"""Each wrong request gets its own status and costs nobody else anything; the server stays ready."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from tritonclient.utils import InferenceServerException

GOOD = np.zeros((1, 112, 112, 3), np.uint8)


@pytest.fixture(autouse=True)
def server_stays_ready(server, infer):
    yield
    assert server.is_ready()
    assert np.isfinite(infer("ser_fiq", crops=GOOD)["raw_score"]).all()


def status_of(error: pytest.ExceptionInfo[InferenceServerException]) -> str:
    return error.value.status().removeprefix("StatusCode.")


@pytest.mark.parametrize(
    ("model", "arguments", "status", "message"),
    [
        ("grafiqs", {"crops": GOOD.astype(np.float32)}, "INVALID_ARGUMENT", "expects 'UINT8'"),
        ("grafiqs", {"crops": GOOD[:, :96]}, "INVALID_ARGUMENT", "unexpected shape"),
        ("grafiqs", {"crops": GOOD.transpose(0, 3, 1, 2)}, "INVALID_ARGUMENT", "unexpected shape"),
        ("grafiqs", {"crops": GOOD[0]}, "INVALID_ARGUMENT", "batch-size must be <= 8"),
        ("grafiqs", {"crops": GOOD[:0]}, "INVALID_ARGUMENT", "got 0"),
        ("grafiqs", {"crops": np.repeat(GOOD, 9, 0)}, "INVALID_ARGUMENT", "must be <= 8"),
        ("grafiqs", {"crop": GOOD}, "INVALID_ARGUMENT", "unexpected inference input 'crop'"),
        ("grafiqs", {}, "INVALID_ARGUMENT", "missing required input"),
        ("embedding_norm", {"crops": GOOD[:, :96]}, "INVALID_ARGUMENT", "unexpected shape"),
        ("fiqa", {"image": GOOD}, "INVALID_ARGUMENT", "expects 'BYTES'"),
        ("fiqa", {"image": []}, "INVALID_ARGUMENT", "expected 1 string elements"),
        ("grafics", {"crops": GOOD}, "NOT_FOUND", "unknown model: 'grafics'"),
        ("grafiqs", {"crops": GOOD, "_model_version": "9"}, "NOT_FOUND", "version 9"),
    ],
)
def test_wrong_request(infer, model, arguments, status, message):
    with pytest.raises(InferenceServerException, match=message) as error:
        infer(model, **arguments)
    assert status_of(error) == status


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_bad_images_of_a_batch_fail_alone(infer, faces_dir):
    photo = (faces_dir / "person_a_1.jpg").read_bytes()
    images = {
        "": photo,
        "empty_file": b"",
        "not_an_image": b"x" * (8 << 20),
        "corrupt_image": photo[:5000],
        "no_face": png(np.full((80, 80, 3), 90, np.uint8)),
        "image_too_large": png(np.zeros((2500, 2500), np.uint8)),
    }
    answer = infer("fiqa", image=[*images.values(), photo])
    assert [text.decode() for text in answer["reason"][:, 0]] == [*images, ""]
    assert [text.decode() for text in answer["status"][:, 0]] == ["ok", *["failed"] * 5, "ok"]
    alone = infer("fiqa", image=[photo])
    for name in ("raw_score", "quality", "box", "landmarks", "confidence"):
        assert np.isnan(answer[name][1:6]).all()
        np.testing.assert_allclose(answer[name][[0]], alone[name], rtol=1e-6)
        np.testing.assert_allclose(answer[name][[6]], alone[name], rtol=1e-6)
    notes = [text.decode() for text in answer["note"][:, 0]]
    assert "no face was found in 80x80 pixels" in notes[4]
    assert "expected at most 4 megapixels" in notes[5]
    crops = infer("face_preprocess", image=list(images.values()))["crop"]
    assert not crops[1:].any()
    assert crops[0].any()


def crop_of(value: int) -> np.ndarray:
    return np.full((1, 112, 112, 3), value, np.uint8)


def test_scorer_that_breaks_on_a_crop_fails_the_crop_not_its_batch(infer):
    served = infer("breaking", crops=np.concatenate([crop_of(3), crop_of(255), crop_of(4)]))
    np.testing.assert_array_equal(served["raw_score"][:, 0], [3, np.nan, 4])
    with pytest.raises(InferenceServerException, match="RuntimeError: white") as error:
        infer("breaking", crops=crop_of(255))
    assert status_of(error) == "INTERNAL"
    with pytest.raises(InferenceServerException, match="grey") as error:
        infer("breaking", crops=crop_of(128))
    assert status_of(error) == "UNAVAILABLE"


def test_scorer_that_breaks_on_a_request_spares_those_batched_with_it(infer, grpc, settled):
    def executions():
        return grpc.get_inference_statistics("breaking").model_stats[0].execution_count

    before = settled(executions)
    with ThreadPoolExecutor(4) as pool:
        slow = pool.submit(infer, "breaking", crops=crop_of(1))
        time.sleep(0.1)  # while it runs, the others wait for the next batch
        values = (5, 255, 6)
        others = [pool.submit(infer, "breaking", crops=crop_of(value)) for value in values]
        assert slow.result()["raw_score"].item() == 1
        assert others[0].result()["raw_score"].item() == 5
        assert others[2].result()["raw_score"].item() == 6
        with pytest.raises(InferenceServerException, match="white"):
            others[1].result()
    assert settled(executions) - before < 4


@pytest.fixture
def busy(infer):
    """While it lasts, one request is at work and a full batch is waiting behind it."""
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(infer, "breaking", crops=crop_of(1))]
        time.sleep(0.1)
        slow.append(pool.submit(infer, "breaking", crops=np.repeat(crop_of(1), 8, 0)))
        time.sleep(0.05)
        yield
        for call in slow:
            call.result()


def test_expired_deadline_is_told_and_the_work_dropped(infer, grpc, as_inputs, settled, request):
    def counted():
        return grpc.get_inference_statistics("breaking").model_stats[0].inference_count

    before = settled(counted)
    request.getfixturevalue("busy")
    with pytest.raises(InferenceServerException) as error:
        grpc.infer("breaking", as_inputs(crops=crop_of(2)), client_timeout=0.05)
    assert status_of(error) == "DEADLINE_EXCEEDED"
    infer("breaking", crops=crop_of(7))
    assert settled(counted) - before == 1 + 8 + 1


@pytest.mark.usefixtures("busy")
def test_request_that_waits_too_long_is_refused(infer):
    with pytest.raises(InferenceServerException, match="timeout expired") as error:
        infer("breaking", crops=crop_of(9), _timeout=1000)  # microseconds
    assert status_of(error) == "UNAVAILABLE"


@pytest.mark.usefixtures("busy")
def test_more_requests_than_the_queue_holds_are_refused(grpc, as_inputs):
    errors = []
    done = threading.Semaphore(0)

    def answer(result, error):
        errors.append(error)
        done.release()

    count = 12
    for _ in range(count):
        grpc.async_infer("breaking", as_inputs(crops=np.repeat(crop_of(3), 8, 0)), answer)
    for _ in range(count):
        assert done.acquire(timeout=60)
    refused = [error for error in errors if error is not None]
    assert {error.status() for error in refused} == {"StatusCode.UNAVAILABLE"}
    assert all("maximum queue size" in error.message() for error in refused)
    assert 0 < len(refused) < count
