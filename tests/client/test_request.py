import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from fiqa_fast.client import ContractError
from fiqa_fast.client.request import Answer, Placement, Request, to_triton

IMAGE = np.array([[b"an image file"]], dtype=object)
CROPS = np.arange(2 * 112 * 112 * 3, dtype=np.uint8).reshape(2, 112, 112, 3)


@pytest.mark.parametrize("tensor", [IMAGE, CROPS, CROPS[:, ::-1], CROPS.transpose(0, 2, 1, 3)])
@pytest.mark.parametrize("protocol", [tritonclient.grpc, tritonclient.http])
def test_shared_memory_holds_what_a_message_would(tensor, protocol):
    request = Request("model", "crops", tensor, ("raw_score",))
    (sent,), _ = to_triton(request, protocol)
    in_message = sent._raw_content if protocol is tritonclient.grpc else sent._raw_data
    assert bytes(request.content) == in_message


def test_a_placed_request_carries_no_content():
    request = Request("model", "crops", CROPS, ("raw_score",), Placement("region-1", CROPS.nbytes))
    (tensor,), (output,) = to_triton(request, tritonclient.grpc)
    assert tensor._raw_content is None
    parameters = tensor._get_tensor().parameters
    assert parameters["shared_memory_region"].string_param == "region-1"
    assert parameters["shared_memory_byte_size"].int64_param == CROPS.nbytes
    assert output.name() == "raw_score"


def test_an_answer_must_hold_what_was_agreed():
    answer = Answer("grafiqs", "1", {"raw_score": np.zeros((3, 2), np.float32)})
    assert answer.output("raw_score", (3, 2)).shape == (3, 2)
    assert answer.output("raw_score", (3, None)).shape == (3, 2)
    for name, shape in (("raw_score", (2, 2)), ("raw_score", (3,)), ("quality", (3, 2))):
        with pytest.raises(ContractError, match=f"grafiqs to answer with {name}"):
            answer.output(name, shape)
