from collections.abc import Callable

import pytest

from fiqa_fast.weights.file import WeightsFile, read_weights


@pytest.fixture
def read_content(tmp_path) -> Callable[[bytes], WeightsFile]:
    """Reads the content of a weights file; the name says nothing about the format."""

    def read(content: bytes) -> WeightsFile:
        path = tmp_path / "weights.bin"
        path.write_bytes(content)
        return read_weights(path)

    return read
