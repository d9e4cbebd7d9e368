"""One HTTP request and its answer, blocking or on an event loop."""

from __future__ import annotations

import io
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping

from fiqa_fast.client.errors import DeadlineError, ServerUnavailableError, closed_error
from fiqa_fast.client.options import ClientOptions, Tls, read_certificates
from fiqa_fast.client.packages import import_package
from fiqa_fast.errors import InvalidArgumentError

Received = tuple[int, Mapping[str, str], bytes]  # status, headers, content


class Exchange(ABC):
    """Sends requests to one server and gives back what it answers, whatever its status.

    Args:
        options: where the server is, and what it wants to see.
    """

    def __init__(self, options: ClientOptions) -> None:
        self._base = f"{'http' if options.tls is None else 'https'}://{options.address}"
        self._headers = options.all_headers
        self._context = None if options.tls is None else _tls_context(options.tls)
        self._in_flight = options.in_flight

    @abstractmethod
    def send(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        what: str,
    ) -> Received | Awaitable[Received]:
        """POSTs a body, or GETs where there is none; `what` was asked for, for messages."""

    @abstractmethod
    def close(self) -> Awaitable[None] | None:
        """Closes the connections."""


class BlockingExchange(Exchange):
    """By urllib3; threads may share it."""

    def __init__(self, options: ClientOptions) -> None:
        super().__init__(options)
        self._urllib3 = import_package("urllib3")
        self._pool = self._urllib3.PoolManager(
            num_pools=1, maxsize=self._in_flight, retries=False, ssl_context=self._context
        )

    def send(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        what: str,
    ) -> Received:
        """POSTs a body, or GETs where there is none."""
        errors = self._urllib3.exceptions
        try:
            answer = self._pool.request(
                "GET" if body is None else "POST",
                self._base + path,
                body=body,
                headers={**self._headers, **headers},
                timeout=self._urllib3.Timeout(total=timeout_s),
            )
        except errors.NewConnectionError as error:  # a TimeoutError too, for urllib3
            raise _unavailable(what, error) from error
        except errors.TimeoutError as error:
            raise _too_late(what, timeout_s) from error
        except errors.ClosedPoolError as error:
            raise closed_error() from error
        except errors.HTTPError as error:
            raise _unavailable(what, error) from error
        return answer.status, answer.headers, answer.data

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._pool.clear()


class AsynchronousExchange(Exchange):
    """By aiohttp, on the event loop of the first request."""

    def __init__(self, options: ClientOptions) -> None:
        super().__init__(options)
        self._aiohttp = import_package("aiohttp")
        connector = self._aiohttp.TCPConnector(limit=self._in_flight, ssl=self._context or True)
        self._session = self._aiohttp.ClientSession(connector=connector, headers=self._headers)

    async def send(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        what: str,
    ) -> Received:
        """POSTs a body, or GETs where there is none."""
        if self._session.closed:
            raise closed_error()
        try:
            async with self._session.request(
                "GET" if body is None else "POST",
                self._base + path,
                data=None if body is None else io.BytesIO(body),  # sent in pieces
                headers=headers,
                timeout=self._aiohttp.ClientTimeout(total=timeout_s),
            ) as answer:
                return answer.status, answer.headers, await answer.read()
        except TimeoutError as error:
            raise _too_late(what, timeout_s) from error
        except self._aiohttp.ClientError as error:
            if self._session.closed:
                raise closed_error() from error
            raise _unavailable(what, error) from error

    async def close(self) -> None:
        """Closes the connections, those in use too."""
        await self._session.close()


def _unavailable(what: str, error: Exception) -> ServerUnavailableError:
    return ServerUnavailableError(
        f"client: expected a connection to {what}, got {type(error).__name__} ({error}); check that"
        " a server runs there"
    )


def _too_late(what: str, timeout_s: float) -> DeadlineError:
    return DeadlineError(
        f"client: expected an answer of {what} within {timeout_s:.3g} s, got none; give more time"
        " (timeout_s), or keep fewer requests in flight (in_flight)"
    )


def _tls_context(tls: Tls) -> ssl.SSLContext:
    roots = read_certificates(tls.root_certificates)
    try:
        context = ssl.create_default_context(cadata=None if roots is None else roots.decode())
        if tls.certificate_chain is not None:
            context.load_cert_chain(tls.certificate_chain, tls.private_key)
    except (OSError, UnicodeDecodeError) as error:  # SSLError is an OSError
        raise InvalidArgumentError(
            f"client: expected files of certificates and keys (PEM), got {tls}: {error};"
            " check the files"
        ) from error
    return context
