import argparse
import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from fiqa_fast.errors import WeightsError

TENSORS = {"conv.weight": torch.arange(4.0).reshape(2, 2), "bn.running_mean": torch.ones(3)}


class Code:
    """Runs a shell command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def _saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "wrapped",
    [
        {"state_dict": TENSORS, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model_state_dict": TENSORS},
        {"state_dict_backbone": TENSORS, "state_dict_softmax_fc": {"weight": torch.ones(9)}},
        {"model": {"state_dict": TENSORS}},
        {"backbone": TENSORS},
        {"net": TENSORS, "acc": 99.5},
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_wrapped_state_dicts(read_content, wrapped, legacy):
    file = read_content(_saved(wrapped, _use_new_zipfile_serialization=not legacy))
    assert file.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(file.tensors[k], t) for k, t in TENSORS.items())


def test_a_state_dict_of_a_module_with_parameters(read_content):
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    tensors = read_content(_saved(dict(module.named_parameters()))).tensors
    assert torch.equal(tensors["0.weight"], module[0].weight)
    assert not tensors["0.weight"].requires_grad
    assert read_content(_saved(module.state_dict())).tensors.keys() == module.state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes_are_those_of_the_file(read_content, dtype):
    tensor = torch.tensor([0.5, -1.25], dtype=dtype)
    assert torch.equal(read_content(_saved({"a": tensor})).tensors["a"], tensor)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_never_runs(read_content, tmp_path, legacy):
    marker = tmp_path / "marker"
    content = _saved(
        {"state_dict": TENSORS, "x": Code(marker)}, _use_new_zipfile_serialization=not legacy
    )
    _expect_refusal(read_content, content, f"needs the code of {os.name}.system")
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_code_in_a_plain_pickle_never_runs(read_content, tmp_path, protocol):
    marker = tmp_path / "marker"
    content = pickle.dumps(Code(marker), protocol)
    _expect_refusal(read_content, content, f"needs the code of {os.name}.system")
    assert not marker.exists()


def test_pickles_of_other_things_name_the_culprit(read_content):
    linear = f"{nn.Linear.__module__}.Linear"
    _expect_refusal(read_content, _saved(nn.Linear(2, 2)), linear)
    args = {"state_dict": TENSORS, "args": argparse.Namespace(lr=0.1)}
    _expect_refusal(read_content, _saved(args), "argparse.Namespace")
    _expect_refusal(read_content, _saved({"best": np.float64(1)}), "numpy")
    _expect_refusal(read_content, pickle.dumps({"a": np.ones(3)}, 2), "numpy")


def _expect_refusal(read_content, content: bytes, culprit: str) -> None:
    with pytest.raises(WeightsError) as error_info:
        read_content(content)
    message = str(error_info.value)
    assert culprit in message
    assert "weights.bin" in message
    assert "save the state_dict alone: torch.save(network.state_dict(), path)" in message
    assert "weights_only" not in message  # torch's own hint switches the protection off


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "a pickled list"),
        ({"epoch": 1, "lr": 0.1}, "a mapping with the keys epoch, lr"),
        ({}, r"a mapping with the keys \(none\)"),
        (torch.ones(3), "a pickled Tensor"),
    ],
)
def test_without_a_state_dict(read_content, value, said):
    with pytest.raises(WeightsError, match=rf"expected a state_dict.*weights\.bin: {said}"):
        read_content(_saved(value))


def test_a_mapping_that_holds_itself(read_content):
    endless: dict[str, object] = {}
    endless["model"] = endless
    with pytest.raises(WeightsError, match="a mapping with the keys model"):
        read_content(_saved(endless))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_not_run(read_content, tmp_path):
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), str(path))
    with pytest.raises(WeightsError, match=r"a TorchScript archive.*torch\.jit\.load\(path\)"):
        read_content(path.read_bytes())


def test_other_zip_archives(read_content):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    with pytest.raises(WeightsError, match=r"weights\.bin: another zip archive with a\.npy"):
        read_content(buffer.getvalue())


def test_reading_imports_nothing_that_a_pickle_names(read_content):
    # protocol 2: GLOBAL "module name", then REDUCE with an empty tuple.
    with pytest.raises(WeightsError, match=r"needs the code of antigravity\.fly"):
        read_content(b"\x80\x02cantigravity\nfly\n)R.")
    assert "antigravity" not in sys.modules


def test_a_small_file_that_claims_a_huge_tensor_is_refused(read_content):
    huge = torch.zeros(1).as_strided((2**36,), (0,))
    with pytest.raises(WeightsError, match=r"with the shape \[68719476736\] and 4 bytes"):
        read_content(_saved({"fc.weight": huge}))


def test_an_archive_that_unpacks_to_much_more_is_refused(read_content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(20_000_000))
    with pytest.raises(WeightsError, match="that unpack to 20000000"):
        read_content(buffer.getvalue())
