"""What can go wrong between a client and a server, as exceptions, and the statuses behind them."""

from __future__ import annotations

from fiqa_fast.errors import FiqaError


class ServerError(FiqaError):
    """Base of every error that has to do with a server.

    Args:
        message: for a person.
        status: the gRPC status ("UNAVAILABLE"), the HTTP status ("503"), or "" where the server
            was not asked or did not answer.
    """

    def __init__(self, message: str, status: str = "") -> None:
        super().__init__(message)
        self.status = status


class ServerUnavailableError(ServerError):
    """No connection, or a server that cannot serve now; the only error that is tried again."""


class DeadlineError(ServerError):
    """No answer within the time that the caller gave."""


class ModelUnavailableError(ServerError):
    """The server does not have the model, or not loaded."""


class AccessDeniedError(ServerError):
    """The server wants a token or a certificate, or another one."""


class RequestRefusedError(ServerError):
    """The server refuses this request: wrong shape or type, too large, ..."""


class RequestTooLargeError(RequestRefusedError):
    """The server does not take messages of this size."""


class RequestCancelledError(ServerError):
    """The request was ended before its answer, by the closing of the client for example."""


class ServerFailedError(ServerError):
    """The model failed on this request."""


class ContractError(ServerError):
    """The answer is not what a server of fiqa_fast gives: missing outputs, no provenance, ..."""


_GRPC: dict[str, type[ServerError]] = {
    "UNAVAILABLE": ServerUnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "NOT_FOUND": ModelUnavailableError,
    "UNAUTHENTICATED": AccessDeniedError,
    "PERMISSION_DENIED": AccessDeniedError,
    "INVALID_ARGUMENT": RequestRefusedError,
    "OUT_OF_RANGE": RequestRefusedError,
    "FAILED_PRECONDITION": RequestRefusedError,
    "RESOURCE_EXHAUSTED": RequestTooLargeError,
    "ALREADY_EXISTS": RequestRefusedError,
    "UNIMPLEMENTED": RequestRefusedError,
    "CANCELLED": RequestCancelledError,
    "ABORTED": RequestCancelledError,
    "INTERNAL": ServerFailedError,
    "DATA_LOSS": ServerFailedError,
    "UNKNOWN": ServerFailedError,
}
_HTTP: dict[str, type[ServerError]] = {
    "401": AccessDeniedError,
    "403": AccessDeniedError,
    "404": ModelUnavailableError,
    "408": DeadlineError,
    "413": RequestTooLargeError,
    "429": ServerUnavailableError,
    "499": RequestCancelledError,
    "501": RequestRefusedError,
    "502": ServerUnavailableError,
    "503": ServerUnavailableError,
    "504": DeadlineError,
}
_REMEDIES: dict[type[ServerError], str] = {
    ServerUnavailableError: "check that a server runs there and has loaded its models",
    DeadlineError: "give more time (timeout_s), or keep fewer requests in flight (in_flight)",
    ModelUnavailableError: "load the model, or name one that the server has",
    AccessDeniedError: "give the token or the certificates that the server wants",
    RequestRefusedError: "check that client and server are of one version of fiqa_fast",
    RequestTooLargeError: "send smaller images, or raise the server's limit",
    RequestCancelledError: "ask again with an open client",
    ServerFailedError: "see the server's log",
}


def error_of_status(status: str, message: str, what: str) -> ServerError:
    """The error for a status of gRPC or HTTP.

    Args:
        status: "UNAVAILABLE", "StatusCode.UNAVAILABLE", "503", ...
        message: the server's words.
        what: what was asked, such as "grafiqs on localhost:8001".
    """
    status = status.removeprefix("StatusCode.")
    kind = _GRPC.get(status) or _HTTP.get(status) or _kind_of_http(status)
    return kind(
        f"client: expected an answer of {what}, got {status} ({message.strip() or 'no message'});"
        f" {_REMEDIES[kind]}",
        status,
    )


def closed_error() -> RequestCancelledError:
    """The error of a client that is used after its end."""
    return RequestCancelledError(
        "client: expected an open client, got a closed one; make a new client"
    )


def _kind_of_http(status: str) -> type[ServerError]:
    return RequestRefusedError if status.startswith("4") else ServerFailedError
