import pytest

from fiqa_fast.client import ClientOptions
from fiqa_fast.client.options import parse_server
from fiqa_fast.errors import InvalidArgumentError


@pytest.mark.parametrize(
    "address", ["localhost:8001", "10.0.0.7:1", "[::1]:8001", "fiqa.example.org:65535"]
)
def test_addresses(address):
    assert ClientOptions(address).address == address


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "localhost"},
        {"address": "localhost:70000"},
        {"address": "grpc://localhost:8001"},
        {"address": "local host:8001"},
        {"protocol": "rest"},
        {"shared_memory": "posix"},
        {"in_flight": 0},
        {"retries": -1},
        {"timeout_s": 0},
        {"backoff_s": float("nan")},
    ],
)
def test_wrong_options_are_refused(changes):
    with pytest.raises(InvalidArgumentError, match="client: expected"):
        ClientOptions(**{"address": "localhost:8001", **changes})


def test_secrets_are_not_printed():
    options = ClientOptions("localhost:8001", token="secret", headers={"x-key": "secret"})
    assert "secret" not in repr(options)
    assert options.all_headers == {"x-key": "secret", "authorization": "Bearer secret"}


def test_pauses_double_up_to_a_limit():
    options = ClientOptions("localhost:8001", backoff_s=0.1)
    for retry, longest in enumerate([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]):
        pauses = [options.pause_s(retry) for _ in range(50)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert options.pause_s(10_000) <= 5.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:8001", ("localhost:8001", "grpc", False)),
        ("grpcs://a.b:1", ("a.b:1", "grpc", True)),
        ("http://a.b:1/", ("a.b:1", "http", False)),
        ("https://a.b:1", ("a.b:1", "http", True)),
    ],
)
def test_servers_of_the_command_line(text, expected):
    assert parse_server(text) == expected


def test_an_unknown_scheme_is_refused():
    with pytest.raises(InvalidArgumentError, match="ftp"):
        parse_server("ftp://a.b:1")
