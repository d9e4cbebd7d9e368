"""What an operator relies on: cache, warm-up, metrics, traces, limits, models that come and go."""

import itertools
import json
import re
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException


@pytest.fixture
def metrics(server):
    """Reads the endpoint: {name with labels: value}."""

    def read() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{server.metrics_address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    return read


def statistics(grpc, model):
    return grpc.get_inference_statistics(model).model_stats[0].inference_stats


def ask_until_cached(grpc, model, ask):
    """An answer once the cache has given one; answers and statistics arrive there a moment late."""
    before = statistics(grpc, model).cache_hit.count
    for _ in range(50):
        answer = ask()
        if statistics(grpc, model).cache_hit.count > before:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{model} never answered from the cache")


@pytest.mark.parametrize("model", ["embedding_norm", "grafiqs"])
def test_equal_crops_are_answered_from_the_cache(model, infer, grpc, new_crops):
    crops = new_crops(2)
    first = infer(model, crops=crops)
    second = ask_until_cached(grpc, model, lambda: infer(model, crops=crops))
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)


def test_equal_images_are_answered_from_the_cache(infer, grpc, faces_dir):
    image = (faces_dir / "person_a_2.jpg").read_bytes()
    first = infer("fiqa", image=[image])
    second = ask_until_cached(grpc, "fiqa", lambda: infer("fiqa", image=[image]))
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)


def test_models_are_warm_before_they_are_ready(grpc, filled, server):
    """One inference, of the warm-up, stands in the statistics of a model that was just loaded."""
    grpc.unload_model("ser_fiq")
    grpc.load_model("ser_fiq")
    assert statistics(grpc, "ser_fiq").success.count == 1


def test_faces_and_rejections_are_counted_by_reason(infer, metrics, new_crops, faces_dir):
    import cv2

    def count(name, **labels):
        text = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return metrics()[f"{name}{{{text}}}"]

    def rejected(reason):
        return count("fiqa_images_rejected_total", model="face_preprocess", reason=reason)

    def found():
        return count("fiqa_faces_found_total", model="face_preprocess")

    before = found(), rejected("no_face"), rejected("corrupt_image")
    photo = (faces_dir / "person_b_2.jpg").read_bytes()
    grey = cv2.imencode(".png", np.full((90, 91, 3), new_crops(1).ravel()[0]))[1].tobytes()
    infer("fiqa", image=[photo, grey, photo[:4000], photo[:4001]])
    after = found(), rejected("no_face"), rejected("corrupt_image")
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 2]


def test_faces_that_no_scorer_could_score_are_told_and_counted(infer, metrics):
    def count():
        return metrics()['fiqa_faces_without_score_total{model="fiqa_result"}']

    before = count()
    widths = {"grafiqs": 6, "faceqan": 1, "ser_fiq": 1, "embedding_norm": 1}
    scores = {f"{m}_raw_score": np.full((3, w), 0.5, np.float32) for m, w in widths.items()}
    for array in scores.values():
        array[1] = np.nan
    texts = {"reason": [b"", b"", b"no_face"], "note": [b"grey", b"grey", b"nobody"]}
    answer = infer("fiqa_result", **scores, status=[b"ok", b"ok", b"failed"], **texts)
    assert answer["status"][:, 0].tolist() == [b"ok", b"failed", b"failed"]
    assert answer["reason"][:, 0].tolist() == [b"", b"scoring_failed", b"no_face"]
    assert answer["note"][:, 0].tolist() == [b"grey", b"grey; no scorer gave a score", b"nobody"]
    np.testing.assert_array_equal(answer["raw_score"][0], np.full(4, 0.5, np.float32))
    assert np.isnan(answer["raw_score"][1:]).all()
    assert count() == before + 1


def test_scores_are_counted_in_histograms(infer, metrics, faces_dir):
    labels = 'model="ser_fiq",output="score",scorer="ser-fiq"'
    names = [f"fiqa_raw_score_bucket{{{labels},le={le}}}" for le in ('"0.5"', '"0.8"', '"+Inf"')]
    names += [f"fiqa_quality_count{{{labels}}}", f"fiqa_quality_sum{{{labels}}}"]
    before = metrics()
    answer = infer("fiqa", image=[(faces_dir / "impostor_2.jpg").read_bytes()])
    after = metrics()
    counted = [after[name] - before[name] for name in names]
    score, quality = answer["raw_score"][0, 2], answer["quality"][0, 2]
    assert counted[:4] == [float(score <= 0.5), float(score <= 0.8), 1, 1]
    assert counted[4] == pytest.approx(quality, rel=1e-5)


def test_tritons_own_metrics_are_there(infer, metrics, settled, new_crops):
    def successes():
        return metrics()['nv_inference_request_success{model="grafiqs",version="1"}']

    before = settled(successes)
    infer("grafiqs", crops=new_crops(1))
    assert settled(successes) == before + 1
    quantile = 'nv_inference_compute_infer_summary_us{model="grafiqs",version="1",quantile="0.99"}'
    assert metrics()[quantile] > 0


def test_traces_are_switched_and_limits_keep_executions_apart(server, infer, grpc, new_crops):
    """Two models share one core: what their traces say they computed never overlaps."""
    models = ("grafiqs", "faceqan")
    folder = server.repository.parent
    on = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "log_frequency": "1"}
    for model in models:
        grpc.update_trace_settings(model, on)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(infer, models[i % 2], crops=new_crops(2)) for i in range(8)]
        for call in calls:
            call.result()
    for model in models:
        grpc.update_trace_settings(model, {"trace_level": ["OFF"]})
    infer("grafiqs", crops=new_crops(1))  # leaves no trace
    spans = set()
    for path in folder.glob("trace.json*"):
        times = {}
        for event in json.loads(path.read_text() or "[]"):
            for stamp in event.get("timestamps", ()):
                times.setdefault(event["id"], {})[stamp["name"]] = stamp["ns"]
        spans |= {(t["COMPUTE_START"], t["COMPUTE_END"]) for t in times.values()}
    assert 2 <= len(spans) <= 8  # requests of one batch share theirs
    ordered = sorted(spans)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ordered))


def test_models_come_and_go_under_load(infer, grpc, server, crops):
    """While one model is reloaded, its callers get its scores or are told that it is away."""
    expected = infer("embedding_norm", crops=crops[:1])["raw_score"]
    others = infer("grafiqs", crops=crops[:1])["raw_score"]
    stop = threading.Event()
    told, scores = [], []

    def keep_asking():
        while not stop.is_set():
            try:
                found = infer("embedding_norm", crops=crops[:1])["raw_score"]
                np.testing.assert_allclose(found, expected, rtol=1e-6)
                scores.append(time.monotonic())
            except InferenceServerException as error:
                told.append(error.status())
            found = infer("grafiqs", crops=crops[:1])["raw_score"]
            np.testing.assert_allclose(found, others, rtol=1e-6)
            stop.wait(0.01)

    with ThreadPoolExecutor(3) as pool:
        askers = [pool.submit(keep_asking) for _ in range(3)]
        try:
            time.sleep(0.2)
            grpc.unload_model("embedding_norm")
            assert server.is_ready()
            time.sleep(0.2)
            grpc.load_model("embedding_norm")
            reloaded = time.monotonic()
            time.sleep(0.2)
        finally:
            stop.set()
        for asker in askers:
            asker.result()
    assert set(told) <= {"StatusCode.NOT_FOUND", "StatusCode.UNAVAILABLE"}
    assert told
    assert min(scores) < reloaded < max(scores)
    assert grpc.is_model_ready("fiqa")


def test_other_weights_than_promised_are_not_loaded(server, infer, grpc, crops):
    """A configuration is changed behind the model's back; the old one goes on serving."""
    path = server.repository / "ser_fiq" / "config.pbtxt"
    right = path.read_text()
    path.write_text(right.replace('"weights_sha256\\": \\"', '"weights_sha256\\": \\"0'))
    assert path.read_text() != right
    try:
        with pytest.raises(InferenceServerException, match=r"promises, weights_sha256="):
            grpc.load_model("ser_fiq")
        assert np.isfinite(infer("ser_fiq", crops=crops[:1])["raw_score"]).all()
    finally:
        path.write_text(right)


def test_dashboard_shows_metrics_that_exist(metrics):
    dashboard = json.loads((Path(__file__).parents[2] / "deploy" / "grafana.json").read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    asked = {name for e in expressions for name in re.findall(r"\b(?:nv|fiqa)_\w+", e)}
    there = {name.partition("{")[0] for name in metrics()}
    of_gpus = {name for name in asked if name.startswith("nv_gpu_")}
    assert asked - of_gpus <= there
    assert of_gpus == {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_power_usage"}
    positions = {tuple(panel["gridPos"].values()) for panel in dashboard["panels"]}
    assert len(positions) == len(dashboard["panels"])
