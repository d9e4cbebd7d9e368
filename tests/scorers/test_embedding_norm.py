import torch

from fiqa_fast.scorers.embedding_norm import EmbeddingNorm


def test_equals_golden(sface64, crops, crop_names, golden_sface):
    expected = [golden_sface["crops"][n]["embedding"] for n in crop_names[::6]]
    norms = torch.tensor(expected, dtype=torch.float64).norm(dim=1)
    torch.testing.assert_close(EmbeddingNorm(sface64).score(crops[::6]), norms, rtol=1e-12, atol=0)
