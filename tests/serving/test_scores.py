"""Scores from the server are those of a local run."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http as triton_http

from fiqa_fast.calibration import packaged_calibrations
from fiqa_fast.engines.exported import load_exported
from fiqa_fast.pipeline import score_images
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.serving.repository.build import build_repository
from fiqa_fast.serving.repository.settings import parse_settings

FACES = ("person_a_1.jpg", "person_b_1.jpg", "impostor_1.jpg")


@pytest.fixture(scope="module")
def scorers(sface32):
    """By name of the model."""
    return {
        "grafiqs": create_scorer("grafiqs", backbone=sface32),
        "faceqan": create_scorer("faceqan", backbone=sface32, k=2, l=2),
        "ser_fiq": create_scorer("ser-fiq", backbone=sface32),
    }


@pytest.fixture(scope="module")
def norm(filled):
    """The exported graph that `embedding_norm` runs, in this process."""
    return load_exported(filled / "embedding_norm" / "1" / "model.xml", threads=1)


def local_scores(scorer, crops):
    """float32 [B, O]."""
    return np.stack([v.numpy() for v in scorer.score_all(crops).values()], axis=1)


@pytest.mark.parametrize("model", ["grafiqs", "faceqan", "ser_fiq"])
def test_python_models_give_every_output(model, scorers, infer, crops):
    served = infer(model, crops=crops[:4])["raw_score"]
    assert served.dtype == np.float32
    np.testing.assert_allclose(served, local_scores(scorers[model], crops[:4]), rtol=1e-6)


def test_exported_graph_gives_score_and_embedding(norm, infer, crops):
    served = infer("embedding_norm", crops=crops[:4])
    local = norm.run(crops[:4])
    assert served["embedding"].shape == (4, 128)
    for name in ("raw_score", "embedding"):
        np.testing.assert_allclose(served[name], local[name], rtol=1e-6, atol=1e-6)


def test_http_gives_the_same(server, scorers, crops):
    batch = crops[:2]
    x = triton_http.InferInput("crops", list(batch.shape), "UINT8")
    x.set_data_from_numpy(batch)
    with triton_http.InferenceServerClient(server.http_address) as client:
        served = client.infer("ser_fiq", [x]).as_numpy("raw_score")
    np.testing.assert_allclose(served, local_scores(scorers["ser_fiq"], batch), rtol=1e-6)


def test_requests_that_were_put_together_get_their_own_scores(scorers, infer, grpc, settled, crops):
    def executions():
        stats = grpc.get_inference_statistics("grafiqs").model_stats[0]
        return stats.execution_count, stats.inference_count

    expected = local_scores(scorers["grafiqs"], crops)
    parts = [slice(0, 1), slice(1, 4), slice(4, 6), slice(6, 7), slice(7, 8), slice(8, 12)]
    before = settled(executions)
    with ThreadPoolExecutor(len(parts)) as pool:
        found = pool.map(lambda part: infer("grafiqs", crops=crops[part])["raw_score"], parts)
        for part, served in zip(parts, found, strict=True):
            np.testing.assert_allclose(served, expected[part], rtol=1e-6)
    calls, images = (now - then for now, then in zip(settled(executions), before, strict=True))
    assert images <= 12  # fewer where the cache knew some
    assert calls < len(parts)


def test_preprocessing_finds_what_a_local_run_finds(infer, faces_dir):
    from fiqa_fast.pipeline import FaceFinder

    images = [(faces_dir / name).read_bytes() for name in FACES]
    served = infer("face_preprocess", image=images)
    for i, name in enumerate(FACES):
        (face,) = FaceFinder().find(faces_dir / name)
        np.testing.assert_array_equal(served["crop"][i], face.crop)
        np.testing.assert_array_equal(served["box"][i], face.detection.box)
        np.testing.assert_array_equal(served["landmarks"][i], face.detection.landmarks)
        assert served["confidence"][i, 0] == np.float32(face.detection.confidence)
    assert served["status"][:, 0].tolist() == [b"ok"] * 3
    assert served["reason"][:, 0].tolist() == [b""] * 3


def test_ensemble_gives_the_rows_of_a_local_run(scorers, norm, infer, faces_dir):
    paths = [faces_dir / name for name in FACES]
    served = infer("fiqa", image=[path.read_bytes() for path in paths])
    rows = score_images(paths, list(scorers.values()))
    by_face = [rows[i * 3 : i * 3 + 3] for i in range(len(paths))]
    raw = np.array([[row.score.raw_score for row in face] for face in by_face])
    quality = np.array(
        [[np.nan if r.score.quality is None else r.score.quality for r in face] for face in by_face]
    )
    np.testing.assert_allclose(served["raw_score"][:, :3], raw, rtol=1e-6)
    np.testing.assert_allclose(served["quality"][:, :3], quality, rtol=1e-5)
    assert np.isnan(quality[:, 1]).all()  # no calibration for k=2, l=2
    for i, face in enumerate(by_face):
        np.testing.assert_allclose(served["box"][i], face[0].box, rtol=1e-6)
        np.testing.assert_allclose(served["landmarks"][i].ravel(), face[0].landmarks, rtol=1e-6)
    crops = infer("face_preprocess", image=[path.read_bytes() for path in paths])["crop"]
    np.testing.assert_allclose(served["raw_score"][:, 3:], norm.run(crops)["raw_score"], rtol=1e-6)
    assert len(packaged_calibrations()) > 0
    assert (served["quality"][:, 3] >= 0).all()


def test_failed_crops_cost_nothing_and_get_no_score(infer, scorers, crops):
    status = [b"ok", b"failed", b"ok"]
    served = infer("ser_fiq", crops=crops[:3], status=status)["raw_score"]
    expected = local_scores(scorers["ser_fiq"], crops[:3])
    np.testing.assert_allclose(served[[0, 2]], expected[[0, 2]], rtol=1e-6)
    assert np.isnan(served[1]).all()
    assert np.isnan(infer("ser_fiq", crops=crops[:2], status=[b"failed"] * 2)["raw_score"]).all()


def test_backend_for_openvino(server, infer, grpc, norm, crops):
    """The graph of `embedding_norm`, under the name of the backend that says what runs it."""
    source, copy = (server.repository / name for name in ("embedding_norm", "norm_openvino"))
    shutil.copytree(source, copy)
    config = (copy / "config.pbtxt").read_text().replace("embedding_norm", "norm_openvino")
    config = config.replace('platform: "tensorrt_plan"', 'backend: "fiqa_openvino"')
    (copy / "config.pbtxt").write_text(config)
    grpc.load_model("norm_openvino")
    try:
        served = infer("norm_openvino", crops=crops[:2])["raw_score"]
        np.testing.assert_allclose(served, norm.run(crops[:2])["raw_score"], rtol=1e-6)
    finally:
        grpc.unload_model("norm_openvino")
        shutil.rmtree(copy)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry",
    [
        {"scorer": "embedding-norm", "backend": "onnxruntime"},
        {"scorer": "grafiqs", "backend": "openvino"},
        {"scorer": "ser-fiq", "engine": "openvino"},
    ],
    ids=lambda entry: "-".join(entry.values()),
)
def test_other_engines(entry, server, infer, grpc, sface32, crops):
    name = "other_" + "_".join(entry.values()).replace("-", "_")  # a cache goes by the name
    settings = parse_settings(
        {"scorers": [{**entry, "name": name}], "ensemble": [], "max_batch_size": 8}
    )
    build_repository(settings, server.repository, overwrite=True)
    grpc.load_model(name)
    try:
        served = infer(name, crops=crops[:4])["raw_score"]
        local = local_scores(create_scorer(entry["scorer"], backbone=sface32), crops[:4])
        np.testing.assert_allclose(served, local, rtol=5e-4)
    finally:
        grpc.unload_model(name)
        shutil.rmtree(server.repository / name)


@pytest.mark.slow
def test_committed_configurations_load_on_a_cpu(tmp_path, faces_dir):
    """What GPU servers load, with stand-ins for what a CPU lacks."""
    from pathlib import Path

    import tritonclient.grpc as triton

    from fiqa_fast.serving.repository.settings import read_settings
    from fiqa_fast.serving.server import TritonServer

    committed = Path(__file__).parents[2] / "triton_repo"
    build_repository(read_settings(committed / "repository.yaml"), tmp_path, stands_in=True)
    for config in tmp_path.glob("*/config.pbtxt"):
        assert config.read_bytes() == (committed / config.relative_to(tmp_path)).read_bytes()
    image = np.array([[(faces_dir / FACES[0]).read_bytes()]], dtype=object)
    x = triton.InferInput("image", [1, 1], "BYTES")
    x.set_data_from_numpy(image)
    with (
        TritonServer(tmp_path, model_control="none") as server,
        triton.InferenceServerClient(server.grpc_address) as client,
    ):
        assert len(client.get_model_repository_index().models) == 7
        served = client.infer("fiqa", [x]).as_numpy("raw_score")
    names = ["grafiqs", "faceqan", "ser-fiq", "embedding-norm"]
    local = [row.score.raw_score for row in score_images([faces_dir / FACES[0]], names)]
    np.testing.assert_allclose(served[0], local, rtol=1e-5)
