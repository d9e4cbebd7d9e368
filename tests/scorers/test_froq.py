"""FROQ against norms that hooks on the network's own modules see, in float64."""

import numpy as np
import pytest
import torch

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.evaluation import evaluate_together
from fiqa_fast.scorers.froq import Froq, FroqOptions, layer_names
from fiqa_fast.scorers.grafiqs import GraFIQs

# Units of SFace by the names of its layers: the taps, and two inside.
MODULES = {
    "b1": "conv_2", "b2": "conv_4", "b3": "conv_6", "b4": "conv_12",
    "2.1": "conv_3_dw", "4.7": "conv_10_dw",
}  # fmt: skip


@pytest.fixture(scope="module")
def norms(sface64, crops):
    """For each layer the Frobenius norms of its output for three crops."""
    seen = {}

    def hook(name):
        def store(module, inputs, output):
            seen[name] = np.sqrt((output.numpy() ** 2).reshape(len(output), -1).sum(1))

        return store

    handles = [
        sface64.get_submodule(module).register_forward_hook(hook(name))
        for name, module in MODULES.items()
    ]
    try:
        sface64(sface64.normalise(torch.from_numpy(crops[:3]).permute(0, 3, 1, 2)))
    finally:
        for handle in handles:
            handle.remove()
    return seen


@pytest.mark.parametrize("layers", ["b1,b2,b3,b4", "b3", "2.1", "4.7, b2", "2.1,4.7,b4"])
def test_float64_equals_the_norms_that_hooks_see(sface64, crops, norms, layers):
    expected = np.mean([norms[name.strip()] for name in layers.split(",")], axis=0)
    scores = Froq(sface64, FroqOptions(layers=layers)).score(crops[:3])
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-9)


def test_float32_is_near_float64(sface32, crops, norms):
    expected = np.mean([norms[f"b{i}"] for i in range(1, 5)], axis=0)
    scores = Froq(sface32, FroqOptions(layers="b1,b2,b3,b4")).score(crops[:3])
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), expected, rtol=2e-6)


def test_the_default_ranks_damaged_faces_below_their_originals(sface32, crops, crop_names):
    scores = dict(zip(crop_names, Froq(sface32).score(crops).tolist(), strict=True))
    for face in ("person_a_2", "person_b_1"):
        for damage in ("blur3", "noise40", "down16", "dark15", "occlude", "jpeg5"):
            assert scores[f"{face}__{damage}.png"] < scores[f"{face}.png"]


def test_a_tap_is_the_last_unit_of_its_stage(sface32, crops):
    names = layer_names(sface32)
    assert [len(stage) for stage in names] == [3, 4, 4, 12, 5]
    by_tap = Froq(sface32, FroqOptions(layers="b3")).score(crops[:1])
    by_unit = Froq(sface32, FroqOptions(layers=names[2][-1])).score(crops[:1])
    torch.testing.assert_close(by_tap, by_unit, rtol=0, atol=0)


def test_a_shared_pass_changes_nothing(sface32, crops):
    froq, grafiqs = Froq(sface32), GraFIQs(sface32)
    outputs = {froq: ("score",), grafiqs: ("b2",)}
    together = evaluate_together([froq, grafiqs], crops[:2], outputs, {})
    torch.testing.assert_close(
        together[froq].scores["score"], froq.score(crops[:2]), rtol=0, atol=0
    )
    torch.testing.assert_close(
        together[grafiqs].scores["b2"], grafiqs.score(crops[:2]), rtol=0, atol=0
    )


@pytest.mark.parametrize("layers", ["", "b5", "0.1", "1.4", "6.1", "b1,,b2", "conv_2", "3", "-1.1"])
def test_unknown_layers_are_refused_with_those_there_are(sface32, layers):
    with pytest.raises(InvalidArgumentError, match=r"some of b1, b2, b3, b4, 1\.1, .* for sface"):
        Froq(sface32, FroqOptions(layers=layers))


@pytest.mark.parametrize("layers", ["b1,b1", "b1,1.3"])
def test_a_layer_given_twice_is_refused(sface32, layers):
    with pytest.raises(InvalidArgumentError, match="each layer once"):
        Froq(sface32, FroqOptions(layers=layers))


def test_inner_layers_of_a_network_whose_last_stage_is_empty(recipe_backbone, crops):
    network = recipe_backbone("sphereface4")
    scores = Froq(network, FroqOptions(layers="2.1,b4")).score(crops[:2])
    assert (scores > 0).all()
    assert scores[0] != scores[1]
