import torch

from fiqa_fast.benchmark.crops import synthetic_crops


def test_every_crop_is_another_one_and_always_the_same():
    crops = synthetic_crops(3)
    assert (crops.shape, crops.dtype) == ((3, 3, 112, 112), torch.uint8)
    assert torch.equal(crops, synthetic_crops(3))
    assert len(crops.flatten(1).unique(dim=0)) == 3
    assert crops.float().std() > 20
