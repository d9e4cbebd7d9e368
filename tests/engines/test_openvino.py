"""OpenVINO gives the plain layers' scores, in the precision that was asked for."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fiqa_fast.engines import openvino
from fiqa_fast.engines.inputs import inputs_of
from fiqa_fast.errors import InvalidArgumentError, WeightsError

# Relative, in float32; see test_onnx_file.py.
TOLERANCES = {
    "embedding-norm": 2e-6,
    "ser-fiq": 1e-5,
    "cr-fiqa": 5e-5,
    "lightqnet": 2e-5,
    "grafiqs": 1e-4,
    "faceqan": 1e-3,
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_scores_are_those_of_the_plain_layers(name, scorer_of, graph_of, crops):
    scorer = scorer_of(name)
    runner = openvino.OpenVINORunner(openvino.convert(graph_of(name)), precision="float32")
    batch = crops[[0, 4, 9]]
    found = runner.run(inputs_of(scorer, batch))["raw_score"]
    expected = scorer.score_all(batch)
    for column, output in zip(found.T, scorer.spec.outputs, strict=True):
        assert column == pytest.approx(expected[output].numpy(), rel=TOLERANCES[name])


def test_bf16_really_runs(scorer_of, graph_of, crops):
    scorer, model = scorer_of("embedding-norm"), openvino.convert(graph_of("embedding-norm"))
    exact = scorer.score(crops).numpy()
    runner = openvino.OpenVINORunner(model, precision="bf16")
    error = np.abs(runner.run({"crops": crops})["raw_score"][:, 0] / exact - 1)
    assert 1e-5 < error.max() < 1e-2


def test_int8_really_runs_and_keeps_the_order(scorer_of, graph_of, crops):
    scorer, model = scorer_of("embedding-norm"), openvino.convert(graph_of("embedding-norm"))
    quantised = openvino.quantise(model, [{"crops": crop[None]} for crop in crops])
    kinds = [op.get_type_name() for op in quantised.get_ops()]
    assert kinds.count("FakeQuantize") > 20
    exact = scorer.score(crops).numpy()
    runner = openvino.OpenVINORunner(quantised, precision="int8")
    scores = runner.run({"crops": crops})["raw_score"][:, 0]
    assert np.corrcoef(scores, exact)[0, 1] > 0.98
    assert np.abs(scores / exact - 1).max() > 1e-3
    with pytest.raises(InvalidArgumentError, match="got none; give a folder of faces"):
        openvino.quantise(model, [])


def test_threads_do_not_disturb_each_other(graph_of, crops):
    model = openvino.convert(graph_of("embedding-norm"))
    runner = openvino.OpenVINORunner(model, precision="float32", threads=1)
    alone = [runner.run({"crops": crop[None]})["raw_score"] for crop in crops]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda c: runner.run({"crops": c[None]})["raw_score"], crops))
    assert np.array_equal(alone, together)


def test_files_of_others_are_refused(tmp_path, graph_of):
    import openvino as ov

    path = tmp_path / "model.xml"
    path.write_text("<net>")
    with pytest.raises(WeightsError, match=r"a model of OpenVINO in .*model\.xml"):
        openvino.read(path)
    ov.save_model(openvino.convert(graph_of("embedding-norm")), path)
    content = path.read_text().replace('"fiqa"', '"other"').replace("<fiqa", "<other")
    path.write_text(content.replace("</fiqa", "</other"))
    with pytest.raises(WeightsError, match="without its metadata"):
        openvino.read(path)
