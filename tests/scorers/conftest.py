import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # iresnet_twin, sphereface_twin


@pytest.fixture(scope="session")
def official_noise(golden_sface):
    """FaceQAN's noise as the golden numbers were made with it: [10, 3, 112, 112] for a crop."""

    def draw(name: str) -> torch.Tensor:
        state = torch.get_rng_state()
        torch.manual_seed(golden_sface["crops"][name]["faceqan"]["torch_seed"])
        noise = [torch.FloatTensor(3, 112, 112).uniform_(-0.001, 0.001) for _ in range(10)]
        torch.set_rng_state(state)
        return torch.stack(noise)

    return draw


@pytest.fixture(scope="session")
def golden_masks(golden_sface):
    """SER-FIQ's masks as the golden numbers were made with them: bool [1, 100, 50176]."""
    generator = np.random.Generator(np.random.PCG64(golden_sface["ser_fiq_mask_seed"]))
    kept = generator.random((100, 50176)) >= 0.4
    assert kept.sum() == golden_sface["ser_fiq_mask_kept"]
    return torch.from_numpy(kept)[None]
