"""The published bound, and what precision "auto" makes of it."""

import pytest
import torch

from fiqa_fast import precision
from fiqa_fast.precision import fastest_precision, is_within_bound, measured_errors
from fiqa_fast.scorers.registry import create_scorer

CPU = torch.device("cpu")


@pytest.fixture
def fast_bf16(monkeypatch):
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda device: True)


def test_every_row_is_a_measurement():
    rows = measured_errors()
    assert {row.network for row in rows} >= {"sface", "iresnet50", "iresnet100"}
    assert len({(r.network, r.method, r.output, r.precision) for r in rows}) == len(rows)
    for row in rows:
        assert row.crops >= 12
        assert 0.9 < row.spearman <= 1
        assert 0 < row.median_relative <= row.max_relative < 1


def test_a_method_is_within_the_bound_with_all_its_outputs():
    assert is_within_bound("grafiqs", "iresnet50", "bf16")
    assert is_within_bound("grafiqs", "magface-iresnet18", "bf16")  # the same kind of network
    assert not is_within_bound("grafiqs", "sface", "bf16")  # b4 alone would be
    assert not is_within_bound("faceqan", "sface", "bf16")
    assert not is_within_bound("grafiqs", "mobilefacenet", "bf16")  # never measured
    assert not is_within_bound("grafiqs", "iresnet50", "fp16")


def test_auto_is_what_all_methods_bear(fast_bf16):
    assert fastest_precision(["grafiqs", "embedding-norm"], "iresnet100", CPU) == "bf16"
    # On iresnet100 with random weights SER-FIQ's scores lie closer together than bf16 tells apart.
    assert fastest_precision(["grafiqs", "ser-fiq"], "iresnet100", CPU) == "float32"
    assert fastest_precision(["grafiqs", "pfe"], "iresnet100", CPU) == "float32"
    assert fastest_precision(["ser-fiq"], "sface", CPU) == "bf16"
    assert fastest_precision(["ser-fiq", "faceqan"], "sface", CPU) == "float32"
    assert fastest_precision([], "iresnet100", CPU) == "float32"


def test_auto_is_float32_where_bf16_is_not_faster(monkeypatch):
    monkeypatch.setattr(precision, "_multiplies_bf16", lambda device: False)
    assert fastest_precision(["grafiqs"], "iresnet100", CPU) == "float32"


def test_a_users_network_runs_in_the_fastest_precision(fast_bf16, recipe_backbone, tmp_path):
    path = tmp_path / "network.pth"
    torch.save(recipe_backbone("iresnet18").state_dict(), path)
    auto = create_scorer("grafiqs", weights=path, device="cpu")
    assert (auto.backbone.precision, auto.engine) == ("bf16", "torch")
    exact = create_scorer("grafiqs", weights=path, device="cpu", precision="float32")
    assert exact.backbone.precision == "float32"
    plain = create_scorer("grafiqs", weights=path, device="cpu", engine="reference")
    assert plain.backbone.precision == "float32"


def test_packaged_weights_stay_in_the_precision_of_their_calibrations(fast_bf16):
    assert create_scorer("ser-fiq", device="cpu").backbone.precision == "float32"
