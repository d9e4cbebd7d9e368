"""`create_scorer(engine=...)`: the same scores, from a compiled graph."""

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.layers.heads import CrFiqaHead
from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.pipeline import score_images
from fiqa_fast.scorers.registry import create_scorer


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_scores_are_those_of_torch(engine, sface32, crops):
    batch = torch.from_numpy(crops).permute(0, 3, 1, 2)
    plain = create_scorer(["embedding-norm", "ser-fiq"], backbone=sface32)
    compiled = create_scorer(["embedding-norm", "ser-fiq"], backbone=sface32, engine=engine)
    assert {s.engine for s in compiled.scorers} == {engine}
    assert {(s.precision, s.device) for s in compiled.scorers} == {("float32", "cpu")}
    expected, found = plain.score(batch), compiled.score(batch[:5])
    for name, values in found.items():
        assert values.dtype == torch.float32
        assert values.numpy() == pytest.approx(expected[name][:5].numpy(), rel=1e-5)
    assert compiled.score(batch[:0])["embedding-norm"].shape == (0,)


def test_a_score_hardly_depends_on_its_batch(sface32, crops):
    """To the last digits: engines choose other kernels for other batches."""
    scorer = create_scorer("embedding-norm", backbone=sface32, engine="openvino")
    many = np.concatenate([crops, crops[::-1]])
    together = scorer.score(many)
    alone = torch.cat([scorer.score(many[i : i + 1]) for i in range(len(many))])
    assert together.numpy() == pytest.approx(alone.numpy(), rel=1e-6)


def test_explicit_noise_reaches_the_graph(sface32, crops):
    options = {"backbone": sface32, "T": 6}
    compiled = create_scorer("ser-fiq", engine="openvino", **options)
    plain = create_scorer("ser-fiq", engine="reference", **options)
    masks = torch.rand(2, 6, 50176, generator=torch.Generator().manual_seed(3)) >= 0.4
    found = compiled.score(crops[:2], noise=masks)
    assert found.numpy() == pytest.approx(plain.score(crops[:2], noise=masks).numpy(), rel=1e-5)
    assert not torch.equal(found, compiled.score(crops[:2]))


def test_rows_name_engine_and_precision(sface32, crops):
    scorer = create_scorer("embedding-norm", backbone=sface32, engine="openvino")
    row = score_images([crops[0]], [scorer], aligned=True)[0]
    assert (row.status, row.score.engine, row.score.device) == ("ok", "openvino", "cpu")
    low = create_scorer("embedding-norm", engine="openvino", precision="bf16")
    row = score_images([crops[0]], [low], aligned=True)[0]
    assert row.score.precision == "bf16"
    assert row.score.quality is None  # calibrations hold for float32


def test_auto_leaves_plain_layers_for_openvino(golden_dir, crops):
    weights = golden_dir / "lightqnet" / "lightqnet-dm025.pb"
    auto = create_scorer("lightqnet", weights=weights)
    plain = create_scorer("lightqnet", weights=weights, engine="reference")
    assert (auto.engine, plain.engine) == ("openvino", "reference")
    scores = auto.score(crops)
    assert scores.numpy() == pytest.approx(plain.score(crops).numpy(), rel=2e-5)
    alone = torch.cat([auto.score(crop[None]) for crop in crops])
    assert torch.equal(alone, scores)  # unlike engines that were asked for by name


def test_auto_takes_openvino_for_one_forward_pass_on_own_weights(tmp_path, recipe_backbone, crops):
    path = tmp_path / "network.pth"
    torch.save(recipe_backbone("magface-iresnet18").state_dict(), path)
    options = {"backbone": "magface-iresnet18", "weights": path, "device": "cpu"}
    auto = create_scorer("magface", **options)
    assert (auto.engine, auto.precision) == ("openvino", "float32")
    fused = create_scorer("magface", engine="torch", precision="float32", **options)
    assert auto.score(crops[:3]).numpy() == pytest.approx(fused.score(crops[:3]).numpy(), rel=1e-5)
    together = create_scorer(["magface", "grafiqs"], precision="float32", **options)
    assert {s.engine for s in together.scorers} == {"torch"}  # one pass for both


def test_without_openvino_auto_stays_on_plain_layers(golden_dir, monkeypatch):
    monkeypatch.setattr("fiqa_fast.scorers.registry.why_no_engine", lambda engine: "not there")
    weights = golden_dir / "lightqnet" / "lightqnet-dm025.pb"
    assert create_scorer("lightqnet", weights=weights).engine == "reference"
    with pytest.raises(UnavailableError, match=r"got 'openvino' .*; not there"):
        create_scorer("lightqnet", weights=weights, engine="openvino")


def test_what_an_engine_cannot_do(sface32, recipe_backbone):
    with pytest.raises(InvalidArgumentError, match="one of float32, got 'bf16'"):
        create_scorer("faceqan", engine="openvino", precision="bf16")
    with pytest.raises(UnavailableError, match="device to be cpu, got 'cuda'"):
        create_scorer("embedding-norm", engine="openvino", device="cuda")
    with pytest.raises(
        UnavailableError,
        match=r"got 'tensorrt-rtx' \(here also openvino, onnxruntime\); tensorrt-rtx: ",
    ):
        create_scorer("embedding-norm", backbone=sface32, engine="tensorrt-rtx")
    low = recipe_backbone("iresnet18", "bf16", head=CrFiqaHead(512))
    with pytest.raises(InvalidArgumentError, match="a network in float32, got bf16"):
        create_scorer("cr-fiqa", backbone=low, engine="openvino")


def test_graphs_are_kept(tmp_path, monkeypatch, crops):
    monkeypatch.setenv("FIQA_FAST_CACHE", str(tmp_path))
    first = create_scorer("embedding-norm", engine="openvino").score(crops[:1])
    (file,) = (tmp_path / "graphs").iterdir()
    assert file.name.startswith("embedding-norm-")

    def trace(scorer, outputs):
        raise AssertionError("traced again")

    monkeypatch.setattr("fiqa_fast.engines.graph_cache.to_onnx", trace)
    assert torch.equal(create_scorer("embedding-norm", engine="openvino").score(crops[:1]), first)
    with pytest.raises(AssertionError, match="traced again"):
        create_scorer("froq", engine="openvino")
    file.write_bytes(b"damaged")
    with pytest.raises(AssertionError, match="traced again"):
        create_scorer("embedding-norm", engine="openvino")
