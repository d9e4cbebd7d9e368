from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.layers.heads import RegressorHead
from fiqa_fast.evaluation.areas import area_under_edc, normalised_area
from fiqa_fast.evaluation.edc import fixed_threshold_curve, threshold_at_fmr
from fiqa_fast.evaluation.inputs import Verification
from fiqa_fast.evaluation.pair_quality import pair_levels
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.crops import read_crop
from fiqa_fast.training.edc_hook import EdcHook
from fiqa_fast.training.network import QualityNetwork
from fiqa_fast.training.samples import as_protocol

FMR = 0.2


@pytest.fixture
def protocol(drawn_faces: TrainingSet) -> Protocol:
    """Every sample with every other."""
    a, b = (rows.astype(np.int32) for rows in np.triu_indices(drawn_faces.count, 1))
    mated = drawn_faces.identity[a] == drawn_faces.identity[b]
    return replace(as_protocol(drawn_faces), sample_a=a, sample_b=b, mated=mated)


@pytest.fixture
def network(tiny_backbone: Callable[[], Backbone]) -> QualityNetwork:
    head = RegressorHead(16)
    torch.manual_seed(3)
    torch.nn.init.normal_(head.regressor.weight)
    return QualityNetwork(tiny_backbone(), head)


def expected(
    protocol: Protocol, scores: np.ndarray, quality: np.ndarray, limit: float
) -> float | None:
    """From the parts of the evaluation, without its run."""
    levels = pair_levels(quality, protocol.sample_a, protocol.sample_b, "min")
    threshold = threshold_at_fmr(levels, scores, protocol.mated, FMR)
    curve = fixed_threshold_curve(levels, scores, protocol.mated, threshold)
    area = area_under_edc(curve.discard_fraction, curve.error_rate, limit, "step")
    return normalised_area(area, curve.error_rate[0], limit)


def test_it_evaluates_the_network_as_it_is(
    network: QualityNetwork, protocol: Protocol, drawn_faces: TrainingSet
) -> None:
    given = np.random.default_rng(0).normal(protocol.mated, 1.0)
    itself = EdcHook(network, protocol, fmr=FMR, batch_size=7)
    by_another = EdcHook(
        network, protocol, verifications=[Verification("other", given)], fmr=FMR, limits=(0.2,)
    )

    found = itself(1) | by_another(1)

    crops = np.stack([read_crop(drawn_faces, n) for n in range(drawn_faces.count)])
    network.eval()
    with torch.no_grad():
        embeddings, quality = network(torch.from_numpy(crops.transpose(0, 3, 1, 2).copy()))
    unit = torch.nn.functional.normalize(embeddings).numpy()
    cosine = (unit[protocol.sample_a] * unit[protocol.sample_b]).sum(1)
    name = f"edc/{protocol.name}"
    assert set(found) == {
        f"{name}/self/fmr-0.2/fnmr",
        f"{name}/other/fmr-0.2/fnmr",
        f"{name}/self/fmr-0.2/area-0.2",
        f"{name}/self/fmr-0.2/area-0.3",
        f"{name}/other/fmr-0.2/area-0.2",
    }
    for network_name, scores, limit in (("self", cosine, 0.3), ("other", given, 0.2)):
        area = expected(protocol, scores, quality.double().numpy(), limit)
        key = f"{name}/{network_name}/fmr-0.2/area-{limit}"
        assert found[key] == pytest.approx(area, rel=1e-3)


def test_where_nothing_is_wrong_there_is_no_area(
    network: QualityNetwork, protocol: Protocol
) -> None:
    perfect = Verification("other", protocol.mated.astype(np.float64))

    found = EdcHook(network, protocol, verifications=[perfect], fmr=FMR)(1)

    assert found == {f"edc/{protocol.name}/other/fmr-0.2/fnmr": 0}


def test_the_network_stays_as_it_was(network: QualityNetwork, protocol: Protocol) -> None:
    hook = EdcHook(network, protocol, fmr=FMR)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    for mode in (True, False):
        network.train(mode)
        hook(1)
        assert network.training is mode
        assert network.backbone.bn.training is mode
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_samples_without_a_face_are_discarded_first(
    network: QualityNetwork, protocol: Protocol
) -> None:
    sources = list(protocol.sources)
    sources[3] = b"no image"
    given = np.random.default_rng(0).normal(protocol.mated, 1.0)
    broken = replace(protocol, sources=sources)

    for verifications in ([Verification("other", given)], []):
        hook = EdcHook(network, broken, verifications=verifications, fmr=FMR)
        assert all(np.isfinite(value) for value in hook(1).values())
