import pytest
import torch

from fiqa_fast.backbones.layers.heads import FaceQnetHead
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.scorers.faceqnet import FaceQnet

# The numbers are compared with an independent computation in backbones/families/test_faceqnet.py.


@pytest.fixture(scope="module")
def scorer(recipe_backbone):
    with torch.device("meta"):
        head = FaceQnetHead({"0_relu": (2048, 32), "1_linear": (32, 1)})
    return FaceQnet(recipe_backbone("faceqnet", head=head))


def test_score_is_the_heads_output_on_the_features(scorer, crops):
    network = scorer.backbone
    batch = torch.from_numpy(crops[:2]).permute(0, 3, 1, 2).contiguous()
    features = network.trunk(network.normalise(network.spec.input.fitted(batch)))
    scores = scorer.score(crops[:2])
    torch.testing.assert_close(scores, network.head(features), rtol=1e-4, atol=1e-5)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_other_networks_are_refused(sface32):
    with pytest.raises(InvalidArgumentError, match=r"head of faceqnet, got sface.*FaceQnet_v1\.h5"):
        FaceQnet(sface32)
