"""FROQ's choice of layers against scipy's rank correlation and a search written out."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.froq import Froq, FroqOptions
from fiqa_fast.scorers.froq_selection import select_layers

FACES = 6


@pytest.fixture(scope="module")
def norms(sface32, crops):
    """Norms of every unit for the faces, from a walk through the network."""
    x = sface32.normalise(torch.from_numpy(crops[:FACES]).permute(0, 3, 1, 2))
    norms = {}
    for i, stage in enumerate(sface32.stages, 1):
        for j, unit in enumerate(stage, 1):
            x = unit(x)
            norms[f"{i}.{j}"] = np.linalg.norm(x.double().flatten(1).numpy(), axis=1)
    return norms


def _search(norms, quality, candidates):
    def utility(names):
        return spearmanr(np.mean([norms[n] for n in names], axis=0), quality).statistic

    pool = sorted(norms, key=lambda name: utility([name]), reverse=True)[:candidates]
    sets = [pool[:1]]
    while len(sets) < candidates:
        others = [name for name in pool if name not in sets[-1]]
        sets.append([*sets[-1], max(others, key=lambda name: utility([*sets[-1], name]))])
    return max(sets, key=utility)


@pytest.mark.parametrize("candidates", [1, 4, 10])
@pytest.mark.parametrize(
    "quality", [[0.3, 0.9, 0.1, 0.5, 0.2, 0.7], [5.0, 4.0, 1.0, 4.0, 2.0, 0.0]]
)
def test_the_choice_is_that_of_the_search_written_out(sface32, crops, norms, quality, candidates):
    chosen = select_layers(sface32, crops[:FACES], np.array(quality), candidates=candidates)
    assert chosen.split(",") == _search(norms, quality, candidates)


def test_a_layer_that_ranks_perfectly_is_enough(sface32, crops, norms):
    quality = np.exp(norms["4.9"] / norms["4.9"].max())
    chosen = select_layers(sface32, crops[:FACES], quality)
    scores = Froq(sface32, FroqOptions(layers=chosen)).score(crops[:FACES])
    assert spearmanr(scores.numpy(), quality).statistic == pytest.approx(1)
    assert len(chosen.split(",")) == 1


@pytest.mark.parametrize(
    ("count", "quality", "candidates", "message"),
    [
        (2, [1.0, 2.0], 10, "at least 3 crops, got 2"),
        (4, [1.0, 2.0, 3.0], 10, r"got 4 crops and qualities of shape \[3\]"),
        (3, [1.0, 1.0, 1.0], 10, r"that differ, got \[1\.0\]"),
        (3, [1.0, np.nan, 2.0], 10, "finite"),
        (3, [1.0, 2.0, 3.0], 0, "candidates >= 1, got 0"),
    ],
)
def test_a_calibration_set_that_says_nothing_is_refused(
    sface32, crops, count, quality, candidates, message
):
    with pytest.raises(InvalidArgumentError, match=message):
        select_layers(sface32, crops[:count], np.array(quality), candidates=candidates)
