import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import numpy as np
import pytest
import torch
from PIL import Image
from triton_stand_in import brightness, crop_model, provenance

from fiqa_fast.client import (
    AccessDeniedError,
    AsyncFiqaClient,
    ContractError,
    DeadlineError,
    FiqaClient,
    ModelUnavailableError,
    RequestCancelledError,
    RequestRefusedError,
    ServerFailedError,
    ServerUnavailableError,
)
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.types import FailureReason

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "busy")


def test_scores_of_crops(ask, options, some_crops):
    scores = ask(options(), "score_crops", some_crops, ["grafiqs", "ser-fiq"])
    expected = brightness(some_crops, 2)
    columns = [
        ScoreColumn(provenance("grafiqs", ("image", "b2")), "b2"),
        ScoreColumn(provenance("ser-fiq"), "score"),
    ]
    assert scores == [
        [columns[0].quality_score(row[1]), columns[1].quality_score(row[0])]
        for row in expected.tolist()
    ]


def test_all_outputs_and_all_scorers(ask, options, some_crops):
    (scores,) = ask(options(), "score_crops", some_crops[:1], all_outputs=True)
    assert [(s.scorer, s.output) for s in scores] == [
        ("ser-fiq", "score"),
        ("grafiqs", "image"),
        ("grafiqs", "b2"),
    ]


def test_crops_of_torch(ask, options, some_crops):
    tensor = torch.from_numpy(some_crops).permute(0, 3, 1, 2)
    assert ask(options(), "score_crops", tensor) == ask(options(), "score_crops", some_crops)


def test_no_crops_are_no_scores(ask, options):
    assert ask(options(), "score_crops", np.zeros((0, 112, 112, 3), np.uint8)) == []


def test_requests_keep_to_the_models_batch_size(ask, options, stand_in, some_crops):
    sizes = []
    model = stand_in.models["ser_fiq"]
    answer = model.answer
    model.answer = lambda inputs: sizes.append(len(inputs["crops"])) or answer(inputs)
    scores = ask(options(), "score_crops", some_crops, ["ser-fiq"])
    assert sorted(sizes) == [2, 4, 4]
    assert [s[0].raw_score for s in scores] == brightness(some_crops)[:, 0].tolist()


@pytest.mark.parametrize("detect", ["server", "none"])
def test_rows_of_images_in_any_form(ask, options, some_crops, tmp_path, detect):
    sources = [some_crops[0], tmp_path / "gone.jpg", b"no image", *some_crops[1:3]]
    rows = ask(options(), "score_images", sources, ["grafiqs"], detect=detect)
    assert [row.path for row in rows] == [
        "<array 0>",
        str(tmp_path / "gone.jpg"),
        "<bytes 2>",
        "<array 3>",
        "<array 4>",
    ]
    assert [row.reason for row in rows] == ["", "file_not_found", "not_an_image", "", ""]
    expected = brightness(some_crops, 2)[:, 1].tolist()
    raw = [row.score.raw_score for row in rows]
    assert raw == [expected[0], None, None, expected[1], expected[2]]
    assert [row.elapsed_ms is not None for row in rows] == [r is not None for r in raw]
    assert rows[2].note.startswith("<bytes 2>: expected a JPEG")
    found = detect == "server"
    assert rows[0].box == ((7.0,) * 4 if found else None)
    assert rows[0].landmarks == ((8.0,) * 10 if found else None)


def test_faces_found_here_give_a_row_each(ask, options, faces_dir):
    pixels = np.concatenate(
        [_pixels(faces_dir / name) for name in ("person_a_1.jpg", "person_b_1.jpg")], axis=1
    )
    choices = {"detect": "client", "faces": "all"}
    rows = ask(options(), "score_images", [pixels], ["ser-fiq", "grafiqs"], **choices)
    assert [(row.face_index, row.score.scorer) for row in rows] == [
        (0, "ser-fiq"),
        (0, "grafiqs"),
        (1, "ser-fiq"),
        (1, "grafiqs"),
    ]
    assert rows[0].box != rows[2].box


def _pixels(path):
    return np.asarray(Image.open(path).convert("RGB").resize((500, 600)))


def test_a_stream_keeps_order_and_its_requests_are_bounded(ask, options, stand_in, some_crops):
    stand_in.delay_s = 0.02
    sources = (some_crops[number % 10] for number in range(40))
    stream = ask(options(in_flight=3), "score_stream", sources, ["ser-fiq"], detect="none")
    expected = brightness(some_crops)[:, 0].tolist()
    assert [rows[0].score.raw_score for rows in stream] == expected * 4
    assert stand_in.most_at_a_time == 3


def test_a_stream_takes_asynchronous_sources(options, some_crops):
    async def sources():
        for crop in some_crops:
            yield crop

    async def run():
        async with AsyncFiqaClient(options()) as client:
            return await client.score_images(sources(), ["ser-fiq"])

    rows = asyncio.run(run())
    assert [row.score.raw_score for row in rows] == brightness(some_crops)[:, 0].tolist()


def test_unavailable_is_tried_again_and_nothing_else(ask, options, stand_in, some_crops):
    stand_in.faults.extend([UNAVAILABLE] * 3)
    rows = ask(options(in_flight=1), "score_images", list(some_crops), ["ser-fiq"])
    assert [row.score.raw_score for row in rows] == brightness(some_crops)[:, 0].tolist()
    assert len(stand_in.seen) == len(some_crops) + 3


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, RequestRefusedError),
        (grpc.StatusCode.NOT_FOUND, ModelUnavailableError),
        (grpc.StatusCode.INTERNAL, ServerFailedError),
        (grpc.StatusCode.PERMISSION_DENIED, AccessDeniedError),
        (grpc.StatusCode.CANCELLED, RequestCancelledError),
    ],
)
def test_other_errors_are_raised_at_once(ask, options, stand_in, some_crops, code, kind):
    stand_in.faults.append((code, "the server's words"))
    with pytest.raises(kind, match="the server's words"):
        ask(options(), "score_crops", some_crops[:1], ["ser-fiq"])
    assert len(stand_in.seen) == 1


def test_retries_come_to_an_end(ask, options, stand_in, some_crops):
    stand_in.faults.extend([UNAVAILABLE] * 100)
    with pytest.raises(ServerUnavailableError, match="busy"):
        ask(options(retries=2), "score_crops", some_crops[:1], ["ser-fiq"])
    assert len(stand_in.seen) == 3


def test_nobody_there(ask, options):
    with pytest.raises(ServerUnavailableError, match="localhost:1"):
        ask(options(address="localhost:1", retries=1), "score_images", [])


def test_a_server_that_comes_back_is_found_again(ask, options, stand_in, some_crops):
    def sources():
        for number in range(8):
            if number == 4:
                stand_in.stop()
                stand_in.start()
            yield some_crops[number]

    rows = ask(options(in_flight=2, retries=20, backoff_s=0.1), "score_images", sources())
    expected = brightness(some_crops)[:8, 0].tolist()
    assert [row.score.raw_score for row in rows[::2]] == expected


def test_deadlines_travel_and_hold(ask, options, stand_in, some_crops):
    stand_in.delay_s = 30.0
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        ask(options(timeout_s=0.3), "score_crops", some_crops[:1], ["ser-fiq"])
    assert time.monotonic() - start < 20
    ((_, timeout_us, left_s),) = stand_in.seen
    assert 0 < timeout_us <= 300_000
    assert 0 < left_s <= 0.5


def test_the_deadline_counts_the_retries_too(ask, options, stand_in, some_crops):
    stand_in.faults.extend([UNAVAILABLE] * 100)
    patient = options(timeout_s=0.5, retries=1000, backoff_s=0.1)
    with pytest.raises(DeadlineError, match="while the server was unavailable"):
        ask(patient, "score_crops", some_crops[:1], ["ser-fiq"])
    timeouts = [timeout for _, timeout, _ in stand_in.seen]
    assert len(timeouts) > 1
    assert timeouts == sorted(timeouts, reverse=True)


def test_an_images_own_errors_are_rows(ask, options, stand_in, some_crops):
    stand_in.faults.extend(
        [(grpc.StatusCode.INTERNAL, "it broke"), (grpc.StatusCode.RESOURCE_EXHAUSTED, "too big")]
    )
    rows = ask(options(in_flight=1), "score_images", list(some_crops[:3]), ["ser-fiq"])
    assert [(row.status, row.reason) for row in rows] == [
        ("failed", FailureReason.SCORING_FAILED),
        ("failed", FailureReason.IMAGE_TOO_LARGE),
        ("ok", ""),
    ]
    assert "it broke" in rows[0].note
    assert rows[0].score.raw_score is None


def test_a_face_without_a_score_keeps_its_place(ask, options, stand_in, some_crops):
    stand_in.faults.append((grpc.StatusCode.INTERNAL, "it broke"))
    (row,) = ask(options(), "score_images", [some_crops[0]], ["ser-fiq"], detect="none")
    assert (row.face_index, row.reason) == (0, FailureReason.SCORING_FAILED)
    assert "it broke" in row.note

    def answer(inputs):
        return {**ensemble(inputs), "raw_score": np.array([[np.nan, 5]], np.float32)}

    ensemble = stand_in.models["fiqa"].answer
    stand_in.models["fiqa"].answer = answer
    rows = ask(options(), "score_images", [some_crops[0]])
    assert [row.score.raw_score for row in rows] == [None, 5]
    assert [row.reason for row in rows] == [FailureReason.SCORING_FAILED, ""]
    assert rows[0].box == rows[1].box == (7.0,) * 4


def test_no_finite_score_of_a_crop_is_none(ask, options, stand_in, some_crops):
    stand_in.models["ser_fiq"].answer = lambda inputs: {
        "raw_score": np.full((len(inputs["crops"]), 1), np.nan, np.float32)
    }
    (scores,) = ask(options(), "score_crops", some_crops[:1], ["ser-fiq"])
    assert scores[0].raw_score is None
    assert scores[0].quality_reason == "no score"


@pytest.mark.parametrize("detect", ["server", "none"])
def test_another_version_is_asked_where_its_numbers_come_from(
    ask, options, stand_in, some_crops, detect
):
    def sources():
        for number in range(4):
            if number == 2:
                for model in stand_in.models.values():
                    model.version = "2"
                    model.promise = model.promise.replace('"sface"', '"iresnet50"')
            yield some_crops[number]

    rows = ask(options(in_flight=1), "score_images", sources(), ["ser-fiq"], detect=detect)
    assert [row.score.backbone for row in rows] == ["sface"] * 2 + ["iresnet50"] * 2


def test_configurations_are_read_once(ask, options, stand_in, some_crops):
    ask(options(in_flight=1), "score_images", list(some_crops))
    # Before the first image, and for the version that answered.
    assert stand_in.configs_read == ["fiqa", "fiqa"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"raw_score": np.zeros((1, 1), np.float32)}, "a score for each of the columns"),
        ({"raw_score": np.zeros((2, 2), np.float32)}, "raw_score of shape"),
        ({"box": np.zeros((1, 3), np.float32)}, "box of shape"),
        (
            {
                "status": np.array([[b"failed"]], object),
                "reason": np.array([[b"bad mood"]], object),
            },
            "'bad mood'",
        ),
    ],
)
def test_answers_that_break_the_contract(ask, options, stand_in, some_crops, change, message):
    ensemble = stand_in.models["fiqa"].answer
    stand_in.models["fiqa"].answer = lambda inputs: {**ensemble(inputs), **change}
    with pytest.raises(ContractError, match=message):
        ask(options(), "score_images", [some_crops[0]])


def test_models_that_do_not_say_where_scores_come_from(ask, options, stand_in, some_crops):
    stand_in.models["other"] = replace(crop_model("ser-fiq"), promise="")
    with pytest.raises(ContractError, match="other to say"):
        ask(options(), "score_crops", some_crops, ["other"])
    assert len(ask(options(), "score_crops", some_crops[:1])[0]) == 2  # the others


def test_servers_without_the_model(ask, options, stand_in, some_crops):
    with pytest.raises(ModelUnavailableError, match="got 'faceqan'"):
        ask(options(), "score_crops", some_crops, ["faceqan"])
    with pytest.raises(ModelUnavailableError, match="got 'unloaded'"):
        ask(options(), "score_crops", some_crops, ["unloaded"])
    del stand_in.models["fiqa"]
    with pytest.raises(ModelUnavailableError, match="fiqa"):
        ask(options(), "score_images", [some_crops[0]])
    stand_in.models.clear()
    with pytest.raises(ModelUnavailableError, match="a server with a scorer"):
        ask(options(), "score_crops", some_crops)


@pytest.mark.parametrize(
    ("arguments", "choices", "message"),
    [
        ([["a.jpg"], ["faceqan"]], {}, "'faceqan'"),
        ([["a.jpg"], []], {}, "one scorer or more"),
        ([["a.jpg"]], {"detect": "nowhere"}, "detect to be one of"),
        ([["a.jpg"]], {"faces": "all"}, "faces with detect='client' only"),
        ([["a.jpg"]], {"detect": "client", "faces": "prettiest"}, "largest, central, all"),
        ([["a.jpg"]], {"all_outputs": True}, "expected the outputs image, b2 of grafiqs"),
        ([[np.zeros((5, 5), np.uint8)]], {}, "uint8"),
        (["a.jpg"], {}, "expected a list of images"),
    ],
)
def test_wrong_arguments(ask, options, arguments, choices, message):
    with pytest.raises(InvalidArgumentError, match=message):
        ask(options(), "score_images", *arguments, **choices)


@pytest.mark.parametrize("shape", [(112, 112, 3), (1, 3, 112, 112), (1, 96, 112, 3)])
def test_wrong_crops(ask, options, shape):
    with pytest.raises(InvalidArgumentError, match=r"\[B, 112, 112, 3\]"):
        ask(options(), "score_crops", np.zeros(shape, np.uint8))


def test_what_will_come_can_be_asked(ask, options):
    columns = ask(options(), "columns", ["grafiqs"])
    assert [(c.provenance.scorer, c.output) for c in columns] == [("grafiqs", "b2")]
    columns = ask(options(), "columns", detect="none", all_outputs=True)
    assert [c.output for c in columns] == ["score", "image", "b2"]


def test_a_closed_client_is_told_so(options, some_crops):
    client = FiqaClient(options())
    stream = client.score_stream(some_crops)
    client.close()
    client.close()
    for use in (lambda: client.score_crops(some_crops), lambda: next(stream)):
        with pytest.raises(RequestCancelledError, match="got a closed one"):
            use()

    async def use_closed():
        async with AsyncFiqaClient(options()) as client:
            pass
        await client.score_crops(some_crops)

    with pytest.raises(RequestCancelledError, match="got a closed one"):
        asyncio.run(use_closed())


def test_closing_ends_what_is_in_flight(options, stand_in, some_crops, monkeypatch):
    monkeypatch.setattr("fiqa_fast.client.client._GRACE_S", 0.1)
    stand_in.delay_s = 30.0
    client = FiqaClient(options())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.score_crops, some_crops, ["ser-fiq"])
        while not stand_in.seen:
            time.sleep(0.01)
        client.close()
        with pytest.raises(RequestCancelledError):
            asked.result(timeout=20)


def test_closing_ends_tasks_in_flight(options, stand_in, some_crops):
    stand_in.delay_s = 30.0

    async def run():
        async with AsyncFiqaClient(options()) as client:
            asked = asyncio.create_task(client.score_crops(some_crops, ["ser-fiq"]))
            while not stand_in.seen:
                await asyncio.sleep(0.01)
        with pytest.raises(RequestCancelledError, match="got a closed one"):
            await asyncio.wait_for(asked, 20)

    asyncio.run(run())


def test_an_asynchronous_client_needs_its_loop(options):
    with pytest.raises(InvalidArgumentError, match="running event loop"):
        AsyncFiqaClient(options())


def test_tritonclient_is_imported_when_a_client_is_made():
    code = """
import asyncio, sys
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("tritonclient", "grpc", "aiohttp", "urllib3"):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Missing())
from fiqa_fast.client import AsyncFiqaClient, FiqaClient
from fiqa_fast.errors import UnavailableError
import fiqa_fast.cli
async def make(client):
    try:
        client("localhost:8001")
    except UnavailableError as error:
        print(error)
for client in FiqaClient, AsyncFiqaClient:
    asyncio.run(make(client))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.count("pip install 'fiqa-fast[client]'") == 2
