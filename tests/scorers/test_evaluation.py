import torch

from fiqa_fast.scorers.evaluation import exact_convolutions


def test_convolutions_on_cuda_are_float32_and_repeatable():
    """The switches can be looked at without a device."""
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic)
    with exact_convolutions():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before
