"""The client and a real server: scores are those that are made here."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
from PIL import Image

import fiqa_fast
from fiqa_fast.client import (
    AsyncFiqaClient,
    ClientOptions,
    DeadlineError,
    FiqaClient,
    ModelUnavailableError,
    RequestRefusedError,
    ServerUnavailableError,
)
from fiqa_fast.client.request import Request
from fiqa_fast.images.sources import find_images
from fiqa_fast.pipeline import FaceFinder, score_stream
from fiqa_fast.provenance import provenance_of
from fiqa_fast.rows import ScoreColumn

IN_ENSEMBLE = ["embedding-norm", "grafiqs"]


@pytest.fixture(params=["grpc", "http"])
def served(request, triton):
    """Options for the real server, over each protocol."""
    address = triton.grpc_address if request.param == "grpc" else triton.http_address
    return ClientOptions(address, protocol=request.param)


@pytest.fixture(scope="session")
def scorers(sface32):
    names = [*IN_ENSEMBLE, "ser-fiq"]
    return {name: fiqa_fast.create_scorer(name, backbone=sface32) for name in names}


@pytest.fixture(scope="session")
def images(faces_dir, tmp_path_factory):
    """Photographs, and files of every other fate."""
    folder = tmp_path_factory.mktemp("images")
    photo = faces_dir / "person_b_2.jpg"
    content = photo.read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_text("This is not an image.\n" * 20)
    Image.new("RGB", (300, 200), "green").save(folder / "nobody.png")
    Image.open(photo).convert("L").save(folder / "grey.png")
    return [*find_images([str(faces_dir), str(folder)]), str(folder / "gone.jpg")]


def check_equal(served_rows, local_rows):
    """Rows of a server are those made here, but for the time that they took."""
    assert len(served_rows) == len(local_rows)
    for row, local in zip(served_rows, local_rows, strict=True):
        raw, expected = row.score.raw_score, local.score.raw_score
        assert (raw is None) == (expected is None)
        assert raw is None or abs(raw - expected) <= 1e-6 * abs(expected)
        if raw is not None and local.score.quality is not None:
            assert row.score.quality == pytest.approx(local.score.quality, rel=1e-4)
        score = replace(row.score, raw_score=expected, quality=local.score.quality)
        assert replace(row, score=score, elapsed_ms=local.elapsed_ms) == local


@pytest.fixture(scope="session")
def local_rows(scorers, images):
    chosen = [scorers[name] for name in IN_ENSEMBLE]
    return fiqa_fast.score_images(images, chosen)


@pytest.mark.parametrize("shared_memory", ["none", "system"])
def test_images(ask, served, images, local_rows, shared_memory):
    options = replace(served, shared_memory=shared_memory)
    check_equal(ask(options, "score_images", images), local_rows)


def test_images_as_bytes_and_as_pixels(ask, served, faces_dir, scorers):
    path = faces_dir / "person_a_1.jpg"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    local = fiqa_fast.score_images([pixels], scorers["grafiqs"])
    check_equal(ask(served, "score_images", [pixels], ["grafiqs"]), local)
    of_bytes, of_path = ask(served, "score_images", [path.read_bytes(), path], ["grafiqs"])
    assert of_bytes.path == "<bytes 0>"
    assert of_bytes.score == of_path.score


@pytest.mark.parametrize("faces", ["largest", "central", "all"])
def test_faces_that_are_found_here(triton, images, scorers, faces):
    local = fiqa_fast.score_images(images, scorers["embedding-norm"], faces=faces)
    with FiqaClient(triton.grpc_address) as client:
        names = ["embedding-norm"]
        check_equal(client.score_images(images, names, detect="client", faces=faces), local)


def test_aligned_crops_with_all_outputs(ask, served, golden_dir, scorers):
    paths = sorted((golden_dir / "crops").iterdir())[:5]
    finder = FaceFinder(None)
    local = score_stream(paths, [scorers["grafiqs"]], finder=finder, all_outputs=True)
    rows = ask(served, "score_images", paths, ["grafiqs"], detect="none", all_outputs=True)
    check_equal(rows, [row for of_image in local for row in of_image])


@pytest.mark.parametrize("shared_memory", ["none", "system"])
def test_crops(ask, served, crops, scorers, shared_memory):
    crops = crops[:6]
    options = replace(served, shared_memory=shared_memory)
    scores = ask(options, "score_crops", crops, ["ser-fiq", "embedding-norm"])
    for position, name in enumerate(["ser-fiq", "embedding-norm"]):
        local = scorers[name].score(crops).numpy()
        ours = np.array([of_crop[position].raw_score for of_crop in scores])
        np.testing.assert_allclose(ours, local, rtol=1e-6)
        column = ScoreColumn(provenance_of(scorers[name]), scorers[name].output)
        for of_crop in scores:
            score = of_crop[position]
            assert score == column.quality_score(score.raw_score)


def test_what_the_server_offers(ask, served):
    columns = ask(served, "columns")
    assert [c.provenance.scorer for c in columns] == IN_ENSEMBLE
    columns = ask(served, "columns", detect="none")
    assert {c.provenance.scorer for c in columns} == {*IN_ENSEMBLE, "ser-fiq"}


def test_refusals_are_typed(served, crops):
    many = np.concatenate([crops] * 2)
    refused = [
        (ModelUnavailableError, Request("nobody", "crops", crops[:1], ("raw_score",))),
        (RequestRefusedError, Request("ser_fiq", "crops", crops[:1, :99], ("raw_score",))),
        (RequestRefusedError, Request("ser_fiq", "crops", many, ("raw_score",))),
        (RequestRefusedError, Request("ser_fiq", "image", crops[:1], ("raw_score",))),
        (RequestRefusedError, Request("ser_fiq", "crops", crops[:1], ("quality",))),
    ]

    async def run():
        async with AsyncFiqaClient(served) as client:
            for kind, request in refused:
                with pytest.raises(kind):
                    await client._server.ask(request)

    asyncio.run(run())


@pytest.mark.parametrize("shared_memory", ["none", "system"])
def test_a_deadline_costs_nobody_else(served, crops, scorers, shared_memory):
    hurried = replace(served, timeout_s=0.02, shared_memory=shared_memory)
    many = np.repeat(crops, 4, 0)
    with FiqaClient(hurried) as client, pytest.raises(DeadlineError):
        client.score_crops(many, ["ser-fiq"])
    with FiqaClient(replace(served, shared_memory=shared_memory)) as client:
        scores = client.score_crops(crops[:3], ["ser-fiq"])
    local = scorers["ser-fiq"].score(crops[:3]).tolist()
    assert [s[0].raw_score for s in scores] == pytest.approx(local, rel=1e-6)


def test_a_model_that_is_unloaded_and_comes_back(served, triton, crops):
    admin = tritonclient.grpc.InferenceServerClient(triton.grpc_address)
    with FiqaClient(replace(served, retries=0)) as client:
        before = client.score_crops(crops[:2], ["ser-fiq"])
        admin.unload_model("ser_fiq")
        try:
            with pytest.raises((ModelUnavailableError, ServerUnavailableError)):
                client.score_crops(crops[:2], ["ser-fiq"])
        finally:
            admin.load_model("ser_fiq")
            admin.close()
        assert client.score_crops(crops[:2], ["ser-fiq"]) == before


def test_a_model_that_is_loaded_again_under_load(served, triton, crops):
    """Requests wait for it, and none is lost."""
    admin = tritonclient.grpc.InferenceServerClient(triton.grpc_address)
    with FiqaClient(replace(served, retries=20)) as client:
        expected = [s[0].raw_score for s in client.score_crops(crops, ["ser-fiq"])]

        def sources():
            for number in range(60):
                if number in (20, 40):
                    admin.load_model("ser_fiq")
                yield crops[number % len(crops)]

        rows = client.score_images(sources(), ["ser-fiq"], detect="none")
    admin.close()
    raw = [row.score.raw_score for row in rows]
    assert raw == [expected[n % len(crops)] for n in range(60)]


def test_clients_leave_nothing_behind(served, crops):
    """Threads, descriptors, shared memory: as many after twelve clients as after two."""
    options = replace(served, shared_memory="system", in_flight=4)

    async def use_async():
        async with AsyncFiqaClient(options) as client:
            await client.score_crops(crops[:1], ["embedding-norm"])

    def use(count):
        for _ in range(count):
            with FiqaClient(options) as client:
                client.score_crops(crops[:1], ["embedding-norm"])
            asyncio.run(use_async())

    use(2)
    before = _held()
    use(10)
    for _ in range(50):  # gRPC closes sockets in threads of its own, a little later
        after = _held()
        if all(now <= then for now, then in zip(after, before, strict=True)):
            break
        time.sleep(0.1)
    assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)


def _held():
    """Numbers of threads, of open descriptors, and of mapped regions of shared memory."""
    process = Path("/proc/self")
    tasks, files = (len(list((process / kind).iterdir())) for kind in ("task", "fd"))
    return tasks, files, (process / "maps").read_text().count("/dev/shm/fiqa-")
