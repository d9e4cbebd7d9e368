"""SER-FIQ on SFace against golden numbers with masks that numpy regenerates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.ser_fiq import SerFiq, SerFiqOptions

FORMS = {
    "score_as_coded": ("official", None),
    "score_scaling8_pair_mean": ("paper", 8.0),
    "score_paper": ("paper", None),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float64", 1e-9)])
def test_equals_golden(
    sface32, sface64, crops, crop_names, golden_sface, golden_masks, form, precision, tolerance
):
    variant, scaling = FORMS[form]
    network, step = (sface64, 9) if precision == "float64" else (sface32, 3)
    scorer = SerFiq(network, SerFiqOptions(scaling=scaling), variant=variant)
    masks = golden_masks.expand(len(crops[::step]), -1, -1)
    scores = scorer.score(crops[::step], noise=masks).double().numpy()
    expected = [golden_sface["crops"][n]["ser_fiq"][form] for n in crop_names[::step]]
    np.testing.assert_allclose(scores, expected, rtol=tolerance)


def test_own_masks_agree_within_the_spread_of_seeds(sface32, crops, crop_names, golden_sface):
    scores = SerFiq(sface32).score(crops[:6]).double().numpy()
    golden = [golden_sface["crops"][n]["ser_fiq"] for n in crop_names[:6]]
    mean = np.array([g["mean_over_seeds"] for g in golden])
    # One spread for all: that of five draws alone would be too uncertain a bound.
    spread = np.sqrt(np.mean([g["sd_over_seeds"] ** 2 for g in golden]))
    assert np.abs(scores - mean).max() < 4 * spread


def test_masks_keep_the_right_share(sface32, crops):
    batch = torch.from_numpy(crops[:2]).permute(0, 3, 1, 2).contiguous()
    kept = SerFiq(sface32)._draw(batch, 50176)
    assert kept.shape == (2, 100, 50176)
    assert abs(kept.double().mean() - 0.6) < 1e-3
    assert not torch.equal(kept[0], kept[1])


def test_wrong_options_and_masks(sface32, crops):
    with pytest.raises(InvalidArgumentError, match="expected T to be a whole number >= 2"):
        SerFiqOptions(T=1)
    with pytest.raises(InvalidArgumentError, match="expected scaling > 0"):
        SerFiqOptions(scaling=-1.0)
    with pytest.raises(InvalidArgumentError, match=r"bool masks of shape \[1, 100, features\]"):
        SerFiq(sface32).score(crops[:1], noise=torch.zeros(1, 100, 50176))
    with pytest.raises(InvalidArgumentError, match="expected masks for 50176 features"):
        SerFiq(sface32).score(crops[:1], noise=torch.ones(1, 100, 7, dtype=torch.bool))


def test_a_network_without_dropout_is_refused(sface32, monkeypatch):
    monkeypatch.setattr(sface32, "spec", replace(sface32.spec, dropout=0.0))
    with pytest.raises(InvalidArgumentError, match="with dropout in front of its last layer"):
        SerFiq(sface32)


def test_the_authors_programs_are_no_choice_of_the_papers_variant(sface32):
    with pytest.raises(InvalidArgumentError, match="code with the variant official only"):
        SerFiq(sface32, SerFiqOptions(code="original"), variant="paper")
