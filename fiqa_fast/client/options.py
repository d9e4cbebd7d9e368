"""Where a server is and how to talk to it."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from fiqa_fast.errors import InvalidArgumentError

Protocol = Literal["grpc", "http"]
SharedMemory = Literal["none", "system", "cuda"]

_SCHEMES: dict[str, tuple[Protocol, bool]] = {
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
    "http": ("http", False),
    "https": ("http", True),
}
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):(\d{1,5})")
_MAX_BACKOFF_S = 5.0


@dataclass(frozen=True)
class Tls:
    """Files of certificates, PEM.

    Attributes:
        root_certificates: of the authorities that the server's certificate may be from; None: the
            system's.
        certificate_chain: of this client, where the server asks for one.
        private_key: for `certificate_chain`.
    """

    root_certificates: Path | None = None
    certificate_chain: Path | None = None
    private_key: Path | None = None


@dataclass(frozen=True)
class ClientOptions:
    """How a client talks to its server.

    Attributes:
        address: host and port, "HOST:PORT".
        protocol: "grpc" or "http".
        tls: encrypt; None: do not.
        token: is sent as "authorization: Bearer ..." with every request; give `tls` too, or others
            can read it.
        headers: further headers (metadata of gRPC) of every request; names in lower case.
        timeout_s: for a request with all its retries. It travels with the request, so that the
            server can drop what nobody waits for.
        retries: how often a request is tried again when the server is unavailable; nothing else is
            tried again.
        backoff_s: pause before the first retry; it doubles up to 5 s, less a random half.
        in_flight: most requests at a time. Also the most images in memory.
        shared_memory: "system": pixels travel through shared memory; the server must run on the
            same machine, as the same user. "cuda": through memory of GPU 0, likewise (needs
            cuda-python; has never run on a GPU). "none": inside the messages.

    Raises:
        InvalidArgumentError: a value out of range.
    """

    address: str
    protocol: Protocol = "grpc"
    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 60.0
    retries: int = 5
    backoff_s: float = 0.1
    in_flight: int = 16
    shared_memory: SharedMemory = "none"

    def __post_init__(self) -> None:
        match = _ADDRESS.fullmatch(self.address)
        if not match or int(match[2]) > 65535:
            raise InvalidArgumentError(
                f"client: expected an address HOST:PORT, got {self.address!r}; for Triton the port"
                " is 8001 (gRPC) or 8000 (HTTP), if nobody changed it"
            )
        for name, valid in (
            ("protocol", get_args(Protocol)),
            ("shared_memory", get_args(SharedMemory)),
        ):
            if getattr(self, name) not in valid:
                raise InvalidArgumentError(
                    f"client: expected {name} to be one of {', '.join(valid)}, got"
                    f" {getattr(self, name)!r}; choose one of them"
                )
        for name, least in (("in_flight", 1), ("retries", 0)):
            if getattr(self, name) < least:
                raise InvalidArgumentError(
                    f"client: expected {name} of {least} or more, got {getattr(self, name)}"
                )
        if not self.timeout_s > 0 or not self.backoff_s > 0:
            raise InvalidArgumentError(
                "client: expected timeout_s and backoff_s above 0, got"
                f" {self.timeout_s} and {self.backoff_s}; both are in seconds"
            )

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers of every request, the token's included."""
        token = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        return {**self.headers, **token}

    def pause_s(self, retry: int) -> float:
        """The pause before a retry, counted from 0."""
        longest = min(self.backoff_s * 2.0 ** min(retry, 60), _MAX_BACKOFF_S)
        return longest * random.uniform(0.5, 1.0)


def read_certificates(path: Path | None) -> bytes | None:
    """The content of a file of `Tls`.

    Raises:
        InvalidArgumentError: it cannot be read.
    """
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(
            f"client: expected a readable file of certificates or a key, got {path}:"
            f" {error.strerror}; give the path of a PEM file"
        ) from error


def parse_server(text: str) -> tuple[str, Protocol, bool]:
    """Reads `[grpc|grpcs|http|https://]HOST:PORT` into address, protocol, and whether to encrypt.

    Raises:
        InvalidArgumentError: another scheme; `ClientOptions` checks the address.
    """
    scheme, separator, address = text.rpartition("://")
    if not separator:
        scheme = "grpc"
    if scheme not in _SCHEMES:
        raise InvalidArgumentError(
            f"client: expected a server as HOST:PORT, or with one of"
            f" {', '.join(f'{s}://' for s in _SCHEMES)} before it, got {text!r}"
        )
    return (address.rstrip("/"), *_SCHEMES[scheme])
