"""Triton over HTTP: the requests and answers of tritonclient, carried by urllib3 or aiohttp.

tritonclient's own blocking client is for one thread only, and neither of its clients takes a
time-out for a single request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fiqa_fast.client.connection import Connection, ModelConfig
from fiqa_fast.client.errors import ContractError, error_of_status
from fiqa_fast.client.http_exchange import AsynchronousExchange, BlockingExchange, Exchange
from fiqa_fast.client.options import ClientOptions
from fiqa_fast.client.packages import import_package
from fiqa_fast.client.request import Answer, Request, from_triton, to_triton
from fiqa_fast.client.waiting import resolved

_HEADER_LENGTH = "Inference-Header-Content-Length"


class HttpConnection(Connection):
    """The server's HTTP interface.

    Args:
        options: where the server is, and what it wants to see.
        asynchronous: whether calls leave the event loop free.

    Raises:
        UnavailableError: tritonclient is not installed.
        InvalidArgumentError: a file of certificates cannot be read.
    """

    def __init__(self, options: ClientOptions, *, asynchronous: bool) -> None:
        self._triton = import_package("tritonclient.http")
        self._exchange: Exchange = (AsynchronousExchange if asynchronous else BlockingExchange)(
            options
        )
        self._server = options.address

    async def infer(self, request: Request, timeout_s: float) -> Answer:
        """Asks a model."""
        inputs, outputs = to_triton(request, self._triton)
        client = self._triton.InferenceServerClient
        body, header_length = client.generate_request_body(
            inputs, outputs=outputs, timeout=max(1, int(timeout_s * 1e6))
        )
        headers = {} if header_length is None else {_HEADER_LENGTH: str(header_length)}
        path = f"models/{quote(request.model)}/infer"
        received, content = await self._call(request.model, path, timeout_s, body, headers)
        length = received.get(_HEADER_LENGTH)
        result = client.parse_response_body(
            content, header_length=None if length is None else int(length)
        )
        return from_triton(request, result, result.get_response().get("model_version", ""))

    async def model_config(self, model: str, timeout_s: float) -> ModelConfig:
        """Reads a model's configuration."""
        config = await self._call_json(model, f"models/{quote(model)}/config", timeout_s)
        parameters = {
            key: value["string_value"] for key, value in config.get("parameters", {}).items()
        }
        return ModelConfig(config["name"], config.get("max_batch_size", 0), parameters)

    async def ready_models(self, timeout_s: float) -> list[str]:
        """Names of the models that are loaded."""
        models = await self._call_json("", "repository/index", timeout_s, body={})
        return list(dict.fromkeys(m["name"] for m in models if m.get("state") == "READY"))

    async def register_system_memory(
        self, name: str, key: str, size: int, timeout_s: float
    ) -> None:
        """Tells the server of memory under a key of `shm_open`."""
        body = {"key": key, "offset": 0, "byte_size": size}
        await self._memory("system", name, "register", timeout_s, body)

    async def register_cuda_memory(
        self, name: str, handle: bytes, device: int, size: int, timeout_s: float
    ) -> None:
        """Tells the server of memory of a GPU."""
        body = {
            "raw_handle": {"b64": handle.decode()},
            "device_id": device,
            "byte_size": size,
        }
        await self._memory("cuda", name, "register", timeout_s, body)

    async def unregister_memory(self, name: str, *, cuda: bool, timeout_s: float) -> None:
        """Tells the server that memory is no longer used."""
        await self._memory("cuda" if cuda else "system", name, "unregister", timeout_s, {})

    async def close(self) -> None:
        """Ends the connections."""
        await resolved(self._exchange.close())

    async def _memory(
        self, kind: str, name: str, verb: str, timeout_s: float, body: Mapping[str, Any]
    ) -> None:
        path = f"{kind}sharedmemory/region/{quote(name)}/{verb}"
        await self._call("shared memory", path, timeout_s, json.dumps(body).encode())

    async def _call_json(
        self, what: str, path: str, timeout_s: float, body: Mapping[str, Any] | None = None
    ) -> Any:
        encoded = None if body is None else json.dumps(body).encode()
        _, content = await self._call(what, path, timeout_s, encoded)
        try:
            return json.loads(content)
        except ValueError as error:
            raise ContractError(
                f"client: expected JSON from {self._server}, got {content[:80]!r}; check that the"
                " port is Triton's for HTTP"
            ) from error

    async def _call(
        self,
        what: str,
        path: str,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Mapping[str, str], bytes]:
        what = f"{what} on {self._server}" if what else self._server
        status, received, content = await resolved(
            self._exchange.send(f"/v2/{path}", body, headers or {}, timeout_s, what)
        )
        if status != 200:
            raise error_of_status(str(status), _message(content), what)
        return received, content


def _message(content: bytes) -> str:
    """The server's words in the body of an error."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode(errors="replace")
