from __future__ import annotations

import pytest
import torch

from fiqa_fast.training.dropout import drop_out, mask_keys

FEATURES = torch.randn(6, 4000, generator=torch.Generator().manual_seed(0)) + 3


def test_a_mask_belongs_to_its_key() -> None:
    keys = mask_keys(1, 2, torch.arange(6))

    whole = drop_out(FEATURES, 0.4, keys)
    parts = torch.cat([drop_out(FEATURES[[5, 2]], 0.4, [keys[5], keys[2]])])

    assert torch.equal(parts, whole[[5, 2]])
    assert len({*keys, *mask_keys(1, 3, torch.arange(6)), *mask_keys(2, 2, torch.arange(6))}) == 18
    assert all(0 <= key < 2**63 for key in keys)


def test_the_mean_stays() -> None:
    dropped = drop_out(FEATURES, 0.4, mask_keys(0, 0, torch.arange(6)))

    assert (dropped == 0).float().mean().item() == pytest.approx(
        0.4, abs=0.013
    )  # 4 standard deviations
    assert dropped.mean().item() == pytest.approx(FEATURES.mean().item(), rel=0.02)
    assert drop_out(FEATURES, 0.0, range(6)) is FEATURES
