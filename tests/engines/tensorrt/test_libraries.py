"""Which library is there, and what is said where it is not."""

import sys
from types import ModuleType

import pytest
import torch

from fiqa_fast.engines.tensorrt.libraries import load_library, require_gpu
from fiqa_fast.errors import InvalidArgumentError, UnavailableError


def test_tensorrt_rtx(rtx):
    library = load_library("tensorrt-rtx")
    assert (library.flavour, library.module, library.version) == (
        "tensorrt-rtx",
        rtx,
        rtx.__version__,
    )
    assert library.major == 1


def test_an_unknown_flavour():
    with pytest.raises(InvalidArgumentError, match="one of tensorrt, tensorrt-rtx, got 'trt'"):
        load_library("trt")


@pytest.mark.parametrize(
    ("flavour", "module"), [("tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt_rtx")]
)
def test_a_library_that_is_not_installed(flavour, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnavailableError, match=rf"pip install 'fiqa-fast\[{flavour}\]'"):
        load_library(flavour)


def test_a_folder_that_happens_to_have_the_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    with pytest.raises(UnavailableError, match="expected the package tensorrt to be installed"):
        load_library("tensorrt")


def test_shared_libraries_that_are_missing(monkeypatch, tmp_path):
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(UnavailableError, match=r"libnvinfer.so.10: cannot open"):
        load_library("tensorrt")


def test_a_version_that_is_too_old(monkeypatch):
    module = ModuleType("tensorrt")
    module.__version__ = "8.6.1"
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(UnavailableError, match=r"version 10.8 or later, got 8.6.1"):
        load_library("tensorrt")


def test_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UnavailableError, match=r"a plan: .*got this build of torch has no CUDA"):
        require_gpu("a plan")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UnavailableError, match="got no GPU or no driver"):
        require_gpu("a plan")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_gpu("a plan")
