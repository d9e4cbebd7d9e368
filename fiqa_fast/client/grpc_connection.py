"""Triton over gRPC, by tritonclient."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fiqa_fast.client.connection import Connection, ModelConfig
from fiqa_fast.client.errors import closed_error, error_of_status
from fiqa_fast.client.options import ClientOptions, read_certificates
from fiqa_fast.client.packages import import_package
from fiqa_fast.client.request import Answer, Request, from_triton, to_triton
from fiqa_fast.client.waiting import resolved

# Left to itself, gRPC waits up to two minutes before it looks again for a server that was gone.
_MOST_BYTES = 2**31 - 1
_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", _MOST_BYTES),
    ("grpc.max_receive_message_length", _MOST_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Channels of one address share their connections otherwise, beyond the life of a client.
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcConnection(Connection):
    """A channel of tritonclient's blocking or asynchronous client: both have the same methods.

    Args:
        options: where the server is, and what it wants to see.
        asynchronous: whether calls leave the event loop free.

    Raises:
        UnavailableError: tritonclient is not installed.
        InvalidArgumentError: a file of certificates cannot be read.
    """

    def __init__(self, options: ClientOptions, *, asynchronous: bool) -> None:
        self._triton = import_package("tritonclient.grpc")
        self._exceptions = import_package("tritonclient.utils").InferenceServerException
        package = import_package("tritonclient.grpc.aio") if asynchronous else self._triton
        self._client = package.InferenceServerClient(
            options.address, creds=_credentials(options), channel_args=_CHANNEL_OPTIONS
        )
        self._server = options.address
        self._headers = options.all_headers
        self._closed = False

    async def infer(self, request: Request, timeout_s: float) -> Answer:
        """Asks a model."""
        inputs, outputs = to_triton(request, self._triton)
        result = await self._call(
            request.model,
            self._client.infer,
            timeout_s,
            request.model,
            inputs,
            outputs=outputs,
            timeout=max(1, int(timeout_s * 1e6)),
        )
        return from_triton(request, result, result.get_response().model_version)

    async def model_config(self, model: str, timeout_s: float) -> ModelConfig:
        """Reads a model's configuration."""
        answer = await self._call(model, self._client.get_model_config, timeout_s, model)
        config = answer.config
        parameters = {key: value.string_value for key, value in config.parameters.items()}
        return ModelConfig(config.name, config.max_batch_size, parameters)

    async def ready_models(self, timeout_s: float) -> list[str]:
        """Names of the models that are loaded."""
        answer = await self._call("", self._client.get_model_repository_index, timeout_s)
        return list(dict.fromkeys(m.name for m in answer.models if m.state == "READY"))

    async def register_system_memory(
        self, name: str, key: str, size: int, timeout_s: float
    ) -> None:
        """Tells the server of memory under a key of `shm_open`."""
        call = self._client.register_system_shared_memory
        await self._call("shared memory", call, timeout_s, name, key, size)

    async def register_cuda_memory(
        self, name: str, handle: bytes, device: int, size: int, timeout_s: float
    ) -> None:
        """Tells the server of memory of a GPU."""
        call = self._client.register_cuda_shared_memory
        await self._call("shared memory", call, timeout_s, name, handle, device, size)

    async def unregister_memory(self, name: str, *, cuda: bool, timeout_s: float) -> None:
        """Tells the server that memory is no longer used."""
        client = self._client
        call = (
            client.unregister_cuda_shared_memory if cuda else client.unregister_system_shared_memory
        )
        await self._call("shared memory", call, timeout_s, name)

    async def close(self) -> None:
        """Ends the channel and what is still in flight on it."""
        self._closed = True
        await resolved(self._client.close())

    async def _call(
        self,
        what: str,
        call: Callable[..., Any | Awaitable[Any]],
        timeout_s: float,
        *arguments: Any,
        **options: Any,
    ) -> Any:
        what = f"{what} on {self._server}" if what else self._server
        try:
            return await resolved(
                call(*arguments, headers=self._headers, client_timeout=timeout_s, **options)
            )
        except self._exceptions as error:
            raise error_of_status(
                error.status() or "UNKNOWN", error.message() or "", what
            ) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise  # the caller's own wish
            raise closed_error() from error
        except Exception as error:  # ValueError or UsageError, by the kind of channel
            if not self._closed:
                raise
            raise closed_error() from error


def _credentials(options: ClientOptions) -> Any:
    if options.tls is None:
        return None
    tls = options.tls
    return import_package("grpc").ssl_channel_credentials(
        root_certificates=read_certificates(tls.root_certificates),
        private_key=read_certificates(tls.private_key),
        certificate_chain=read_certificates(tls.certificate_chain),
    )
