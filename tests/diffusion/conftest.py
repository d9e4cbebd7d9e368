import json

import pytest


@pytest.fixture(scope="session")
def golden_unet(golden_dir):
    return json.loads((golden_dir / "diffusion_unet.json").read_text())
