from pathlib import Path

import cv2
import numpy as np
import pytest


def _encoded(number: int, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.fixture(scope="session")
def encoded():
    """Different small images by number, as the bytes of a file."""
    return _encoded


@pytest.fixture
def make_images(tmp_path):
    """Writes small images below the temporary folder, by name."""

    def make(*names: str) -> Path:
        for i, name in enumerate(names):
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_encoded(i))
        return tmp_path

    return make
