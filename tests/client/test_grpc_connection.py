import pytest
from certificate import make_certificate
from triton_stand_in import TritonStandIn, crop_model

from fiqa_fast.client import AccessDeniedError, ClientOptions, ServerUnavailableError, Tls
from fiqa_fast.errors import InvalidArgumentError


@pytest.fixture(scope="module")
def certificate():
    return make_certificate()


@pytest.fixture
def roots(certificate, tmp_path):
    path = tmp_path / "roots.pem"
    path.write_bytes(certificate[1])
    return path


def test_an_encrypted_connection_with_a_token(ask, certificate, roots, some_crops):
    models = {"ser_fiq": crop_model("ser-fiq")}
    with TritonStandIn(models, tls=certificate, token="open sesame") as server:
        options = ClientOptions(server.address, tls=Tls(roots), token="open sesame")
        assert len(ask(options, "score_crops", some_crops)) == len(some_crops)


@pytest.mark.parametrize("token", [None, "sesame"])
def test_a_wrong_token_is_no_way_in(ask, options, stand_in, some_crops, token):
    stand_in.token = "open sesame"
    with pytest.raises(AccessDeniedError, match="no valid token"):
        ask(options(token=token), "score_crops", some_crops)
    given = options(headers={"authorization": "Bearer open sesame"})
    assert len(ask(given, "score_crops", some_crops)) == len(some_crops)


def test_a_server_that_nobody_vouches_for_is_not_talked_to(ask, certificate, some_crops):
    with TritonStandIn({"ser_fiq": crop_model("ser-fiq")}, tls=certificate) as server:
        for tls in (Tls(), None):
            options = ClientOptions(server.address, tls=tls, retries=0, timeout_s=5)
            with pytest.raises(ServerUnavailableError):
                ask(options, "score_crops", some_crops)
        assert not server.seen


def test_missing_certificates_are_told(ask, tmp_path):
    options = ClientOptions("localhost:1", tls=Tls(tmp_path / "gone.pem"))
    with pytest.raises(InvalidArgumentError, match=r"gone\.pem: No such file"):
        ask(options, "score_images", [])
