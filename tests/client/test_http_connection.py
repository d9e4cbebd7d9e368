"""What the connection itself does; the tests with the real server test the requests."""

import asyncio
import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from certificate import make_certificate

from fiqa_fast.client import (
    AccessDeniedError,
    AsyncFiqaClient,
    ClientOptions,
    ContractError,
    DeadlineError,
    ModelUnavailableError,
    RequestCancelledError,
    ServerFailedError,
    ServerUnavailableError,
    Tls,
)
from fiqa_fast.errors import InvalidArgumentError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay_s)
        status, body = self.server.answers.pop(0) if self.server.answers else (200, b"[]")
        if self.headers.get("authorization") != self.server.authorization:
            status, body = 401, b'{"error": "no valid token"}'
        self.server.asked.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Answers every question with `answers`, then with an empty index of models."""

    def __init__(self):
        super().__init__(("localhost", 0), Handler)
        self.answers, self.asked = [], []
        self.authorization, self.delay_s = None, 0.0

    def handle_error(self, *_):
        pass  # clients that hang up are part of the test

    def options(self, **changes):
        address = f"localhost:{self.server_address[1]}"
        return ClientOptions(address, protocol="http", backoff_s=0.01, **changes)


@contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server():
    with running(Server()) as started:
        yield started


@pytest.fixture
def index(ask):
    """Asks for the index, the first thing that scoring crops does; an empty one has no model."""
    crops = np.zeros((1, 112, 112, 3), np.uint8)
    return lambda options: ask(options, "score_crops", crops, ["ser-fiq"])


def test_questions_arrive(index, server):
    with pytest.raises(ModelUnavailableError, match="got 'ser-fiq'"):
        index(server.options())
    assert server.asked == ["/v2/repository/index"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, b'{"error": "no such model"}', ModelUnavailableError, "no such model"),
        (500, b"<html>it broke</html>", ServerFailedError, "it broke"),
        (403, b"", AccessDeniedError, "no message"),
        (200, b"<html>hello</html>", ContractError, "hello"),
    ],
)
def test_errors_are_typed(index, server, status, body, kind, message):
    server.answers = [(status, body)]
    with pytest.raises(kind, match=message):
        index(server.options())
    assert len(server.asked) == 1


def test_unavailable_is_tried_again(index, server):
    server.answers = [(503, b'{"error": "busy"}')] * 2
    with pytest.raises(ModelUnavailableError):
        index(server.options())
    assert len(server.asked) == 3


def test_tokens(index, server):
    server.authorization = "Bearer open sesame"
    with pytest.raises(AccessDeniedError, match="no valid token"):
        index(server.options())
    with pytest.raises(ModelUnavailableError):
        index(server.options(token="open sesame"))


def test_deadlines(index, server):
    server.delay_s = 20.0
    start = time.monotonic()
    with pytest.raises(DeadlineError, match="within"):
        index(server.options(timeout_s=0.2))
    assert time.monotonic() - start < 15


def test_closing_ends_tasks_in_flight(server):
    server.delay_s = 20.0

    async def run():
        async with AsyncFiqaClient(server.options()) as client:
            asked = asyncio.create_task(client.columns(detect="none"))
            await asyncio.sleep(0.2)
        with pytest.raises(RequestCancelledError, match="got a closed one"):
            await asyncio.wait_for(asked, 15)

    asyncio.run(run())


def test_nobody_there(index):
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        address = f"localhost:{unused.getsockname()[1]}"
    options = ClientOptions(address, protocol="http", retries=1, backoff_s=0.01)
    with pytest.raises(ServerUnavailableError, match=address):
        index(options)


def test_a_server_that_hangs_up(index):
    with socket.create_server(("localhost", 0)) as listening:
        hanging_up = threading.Thread(target=_hang_up, args=(listening, 2))
        hanging_up.start()
        address = f"localhost:{listening.getsockname()[1]}"
        options = ClientOptions(address, protocol="http", retries=1, backoff_s=0.01)
        with pytest.raises(ServerUnavailableError):
            index(options)
        hanging_up.join()


def _hang_up(listening, times):
    for _ in range(times):
        connection, _ = listening.accept()
        connection.recv(10)
        connection.close()


def test_encryption(index, tmp_path):
    key, certificate = make_certificate()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "roots.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "roots.pem", tmp_path / "key.pem")
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        with pytest.raises(ModelUnavailableError):
            index(server.options(tls=Tls(tmp_path / "roots.pem")))
        for tls in (Tls(), None):
            with pytest.raises(ServerUnavailableError):
                index(server.options(tls=tls, retries=0))


def test_files_that_are_no_certificates(index, tmp_path):
    (tmp_path / "roots.pem").write_text(json.dumps("no certificate"))
    tls = Tls(tmp_path / "roots.pem")
    with pytest.raises(InvalidArgumentError, match="expected files of certificates"):
        index(ClientOptions("localhost:1", protocol="http", tls=tls))
