"""Scores from a server of `fiqa-fast serve`: the same rows and numbers as scored here.

    from fiqa_fast.client import FiqaClient

    with FiqaClient("localhost:8001") as client:
        rows = client.score_images(["portrait.jpg"])           # the server finds the face
        scores = client.score_crops(crops, ["grafiqs"])        # uint8 RGB [B, 112, 112, 3]

`AsyncFiqaClient` does the same with coroutines. tritonclient (`pip install 'fiqa-fast[client]'`) is
imported when a client is made.
"""

from fiqa_fast.client.async_client import AsyncFiqaClient
from fiqa_fast.client.client import FiqaClient
from fiqa_fast.client.errors import (
    AccessDeniedError,
    ContractError,
    DeadlineError,
    ModelUnavailableError,
    RequestCancelledError,
    RequestRefusedError,
    RequestTooLargeError,
    ServerError,
    ServerFailedError,
    ServerUnavailableError,
)
from fiqa_fast.client.options import ClientOptions, Tls

__all__ = [
    "AccessDeniedError",
    "AsyncFiqaClient",
    "ClientOptions",
    "ContractError",
    "DeadlineError",
    "FiqaClient",
    "ModelUnavailableError",
    "RequestCancelledError",
    "RequestRefusedError",
    "RequestTooLargeError",
    "ServerError",
    "ServerFailedError",
    "ServerUnavailableError",
    "Tls",
]
