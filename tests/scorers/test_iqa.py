"""The adapters of image quality libraries, with stand-ins for the libraries.

onnxruntime is the real one.
"""

import hashlib
import sys
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from fiqa_fast.backbones.families.none import NoNetwork
from fiqa_fast.errors import ImageError, InvalidArgumentError, UnavailableError, WeightsError
from fiqa_fast.scorers.iqa import Brisque, DeepIqa, RankIqa, RankIqaOptions
from fiqa_fast.types import FailureReason


@pytest.fixture(scope="module")
def network():
    return NoNetwork().prepare(torch.device("cpu"), "float32")


def _red_then_blue(images):
    """A measure that depends on colour order, scale and shape: [N, 3, H, W] -> [N]."""
    return 2 * images[:, 0].mean((1, 2)) - images[:, 2].mean((1, 2))


def _expected(crops):
    pixels = crops.astype(np.float64) / 255
    return 2 * pixels[..., 0].mean((1, 2)) - pixels[..., 2].mean((1, 2))


@pytest.fixture
def piq(monkeypatch):
    """A stand-in for piq; `calls` holds what it was asked."""
    library = ModuleType("piq")
    library.__version__ = "0.8.0"
    library.calls = []

    def brisque(x, kernel_size=7, kernel_sigma=7 / 6, data_range=1.0, reduction="mean"):
        library.calls.append((x, data_range, reduction))
        if x.std() == 0:
            raise AssertionError("Expected image with non zero variance of pixel values")
        return _red_then_blue(x)

    library.brisque = brisque
    monkeypatch.setitem(sys.modules, "piq", library)
    return library


class _Metric:
    lower_better = False

    def __init__(self):
        self.inputs = []

    def __call__(self, x):
        self.inputs.append(x)
        return (_red_then_blue(x) + self.jitter())[:, None]

    def jitter(self):
        return 0


@pytest.fixture
def pyiqa(monkeypatch):
    """A stand-in for pyiqa, whose one metric is `metric`."""
    library = ModuleType("pyiqa")
    library.__version__ = "0.1.14"
    library.metric = _Metric()
    library.created = []

    def create_metric(name, device=None):
        library.created.append((name, device))
        return library.metric

    library.create_metric = create_metric
    monkeypatch.setitem(sys.modules, "pyiqa", library)
    return library


def test_brisque(network, piq, crops):
    scorer = Brisque(network)
    piq.calls.clear()
    np.testing.assert_allclose(scorer.score(crops[:3]), _expected(crops[:3]), rtol=1e-5)
    for x, data_range, reduction in piq.calls:
        assert (x.shape, x.dtype, data_range) == ((1, 3, 112, 112), torch.float32, 1.0)
        assert reduction == "none"
    assert len(piq.calls) == 3  # each crop by itself: the library's sums depend on the batch
    assert not scorer.spec.higher_is_better
    assert scorer.parameters == {"library": "piq 0.8.0"}


def test_a_crop_that_brisque_cannot_measure(network, piq):
    with pytest.raises(
        ImageError, match=r"brisque: expected piq .*AssertionError.*variance"
    ) as got:
        Brisque(network).score(np.full((1, 112, 112, 3), 7, np.uint8))
    assert got.value.reason == FailureReason.SCORING_FAILED


@pytest.mark.parametrize("wrong", [torch.tensor([float("nan")]), torch.zeros(2)])
def test_a_library_that_gives_something_else(network, piq, crops, wrong):
    scorer = Brisque(network)
    piq.brisque = lambda *_, **__: wrong
    with pytest.raises(ImageError, match="expected one finite number for each crop"):
        scorer.score(crops[:1])


def test_brisque_without_its_weights(network, piq):
    def offline(*_, **__):
        raise OSError("Name or service not known")

    piq.brisque = offline
    with pytest.raises(UnavailableError, match=r"brisque_svm_weights\.pt.*not known.*online"):
        Brisque(network)


def test_deepiqa(network, pyiqa, crops):
    scorer = DeepIqa(network)
    assert pyiqa.created == [("wadiqam_nr", torch.device("cpu"))]
    np.testing.assert_allclose(scorer.score(crops[:2]), _expected(crops[:2]), rtol=1e-5)
    assert [x.shape for x in pyiqa.metric.inputs] == [(1, 3, 112, 112)] * 2
    assert scorer.spec.higher_is_better
    assert scorer.parameters == {"library": "pyiqa 0.1.14"}


def test_deepiqa_of_the_other_polarity(network, pyiqa):
    pyiqa.metric.lower_better = True
    with pytest.raises(UnavailableError, match=r"better when higher, got 0\.1\.14"):
        DeepIqa(network)


def test_deepiqa_without_its_weights(network, pyiqa):
    def offline(*_, **__):
        raise RuntimeError("cannot fetch")

    pyiqa.create_metric = offline
    with pytest.raises(UnavailableError, match=r"deepiqa: expected pyiqa to make .*cannot fetch"):
        DeepIqa(network)


def test_draws_of_the_library_do_not_reach_the_scores(network, pyiqa, crops):
    pyiqa.metric.jitter = lambda: torch.rand(1)
    scorer = DeepIqa(network)
    torch.manual_seed(5)
    whole = scorer.score(crops[:2])
    after = torch.rand(1)
    assert torch.equal(scorer.score(crops[1:2]), whole[1:])
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)  # nor the caller's own draws


@pytest.fixture
def onnx_path(tmp_path):
    """A network with the contract of RankIQA: 2 * mean(red) - mean(blue)."""

    def save(dtype=TensorProto.FLOAT, inputs=("image",)):
        shape = ["N", 3, 112, 112]
        weights = np.array([2, 0, -1], np.float32).reshape(1, 3, 1, 1) / 112**2
        graph = helper.make_graph(
            [
                helper.make_node("Cast", [inputs[0]], ["pixels"], to=TensorProto.FLOAT),
                helper.make_node("Mul", ["pixels", "weights"], ["parts"]),
                helper.make_node("ReduceSum", ["parts", "axes"], ["score"], keepdims=0),
            ],
            "rank",
            [helper.make_tensor_value_info(name, dtype, shape) for name in inputs],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])],
            [
                onnx.numpy_helper.from_array(weights, "weights"),
                onnx.numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        path = tmp_path / "rank.onnx"
        path.write_bytes(model.SerializeToString())
        return str(path)

    return save


def test_rankiqa(network, onnx_path, crops):
    path = onnx_path()
    scorer = RankIqa(network, RankIqaOptions(model=path))
    np.testing.assert_allclose(scorer.score(crops[:3]), _expected(crops[:3]), rtol=1e-4)
    with open(path, "rb") as file:  # noqa: PTH123 (a path as text, as users give it)
        digest = hashlib.sha256(file.read()).hexdigest()
    assert scorer.parameters == {
        "library": f"onnxruntime {onnxruntime.__version__}",
        "model_sha256": digest,
    }


def test_rankiqa_without_a_model(network, tmp_path):
    with pytest.raises(WeightsError, match="rankiqa: expected the option model"):
        RankIqa(network)
    with pytest.raises(WeightsError, match="expected a readable file"):
        RankIqa(network, RankIqaOptions(model=str(tmp_path / "none.onnx")))


def test_rankiqa_with_another_kind_of_file(network, onnx_path, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a model")
    with pytest.raises(WeightsError, match="rankiqa: expected an ONNX file"):
        RankIqa(network, RankIqaOptions(model=str(damaged)))
    for options in ({"inputs": ("image", "mask")}, {"dtype": TensorProto.UINT8}):
        with pytest.raises(WeightsError, match="rankiqa: expected a network with one float32"):
            RankIqa(network, RankIqaOptions(model=onnx_path(**options)))


@pytest.mark.parametrize(
    ("scorer", "library", "remedy"),
    [
        (Brisque, "piq", "pip install piq"),
        (DeepIqa, "pyiqa", "pip install pyiqa .its licence"),
        (RankIqa, "onnxruntime", "pip install onnxruntime"),
    ],
)
def test_without_the_library(network, monkeypatch, scorer, library, remedy):
    monkeypatch.delitem(sys.modules, library, raising=False)

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name == library:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(UnavailableError, match=f"package {library}, got none.*run .*{remedy}"):
        scorer(network)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'torchvision'", name="torchvision"), "torchvision"),
        (RuntimeError("operator torchvision::nms does not exist"), "nms does not exist; install"),
    ],
)
def test_with_a_library_that_cannot_be_imported(network, monkeypatch, error, message):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "piq":
                raise error

    monkeypatch.delitem(sys.modules, "piq", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(UnavailableError, match=f"brisque: expected .*piq.*{message}"):
        Brisque(network)


def test_only_without_a_network(sface32, piq):
    with pytest.raises(InvalidArgumentError, match=r"expected the network none.*got sface"):
        Brisque(sface32)


def test_only_in_float32(piq):
    exact = NoNetwork().prepare(torch.device("cpu"), "float64")
    with pytest.raises(InvalidArgumentError, match="precision"):
        Brisque(exact)


def test_an_empty_batch(network, piq):
    assert Brisque(network).score(np.zeros((0, 112, 112, 3), np.uint8)).shape == (0,)


def test_no_network_has_a_place_and_no_numbers(network):
    assert network.device == torch.device("cpu")
    assert network.spec.name == "none"
    assert not network.batch_norms
    assert network(torch.zeros(2, 3, 112, 112)).shape == (2, 0)
    assert NoNetwork().to("meta").device.type == "meta"
