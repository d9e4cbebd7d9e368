"""Runs tritonserver on this machine's CPU, from the environment of `make serve-env`."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.serving.backend_folder import assemble_backends
from fiqa_fast.serving.environment import ServeEnvironment, find_environment
from fiqa_fast.serving.flags import ModelControl, server_flags
from fiqa_fast.serving.orphan_watch import OrphanWatch

LOOPBACK = "127.0.0.1"

_SHARED_MEMORY = Path("/dev/shm")
_POLL_S = 0.05
_LOG_LINES = 25  # of a server that did not start, in the error
_ERROR = re.compile(r"E\d{4} |error:")  # how lines with errors begin
_numbers = itertools.count()


class TritonServer:
    """A tritonserver, by default on the loopback interface. Use it as a context manager.

    It ends with the process that started it, also when that one is killed.

    Ports that are 0 are chosen at the first start and kept, so that a server that was killed comes
    back under the same addresses.

    Args:
        repository: folder of models, as `fiqa-fast serve build-repo` fills it.
        grpc_port: 0: any free one.
        http_port: likewise.
        metrics_port: likewise.
        host: address to listen on; "0.0.0.0" lets other machines in.
        model_control: "explicit": models are loaded and unloaded over the protocol, and those of
            `load` at the start; "none": all models of the folder, for good.
        load: models to load at the start, "*" for all; with "explicit" only.
        cache_bytes: size of the response cache; 0: none.
        log_path: file for the server's log; None: a temporary one.
        rate_limit: how many there are of each resource that models name in their `rate_limiter`
            (as {"cores": 2}); None: no limits.
        trace_path: file for traces, which stay off until they are switched on over the protocol
            (`update_trace_settings`); None: no file.
        environment: None: as `find_environment` finds it.
        start_timeout_s: time until all models are loaded.
        exit_timeout_s: time that requests in flight, and open connections of HTTP, are given when
            it stops.

    Raises:
        UnavailableError: there is no environment to serve in.
        InvalidArgumentError: the repository is no folder.

    Example:
        >>> with TritonServer(Path("filled")) as server:  # doctest: +SKIP
        ...     print(server.grpc_address)
        127.0.0.1:39011
    """

    def __init__(
        self,
        repository: Path,
        *,
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        host: str = LOOPBACK,
        model_control: ModelControl = "explicit",
        load: Sequence[str] = ("*",),
        cache_bytes: int = 0,
        log_path: Path | None = None,
        rate_limit: Mapping[str, int] | None = None,
        trace_path: Path | None = None,
        environment: ServeEnvironment | None = None,
        start_timeout_s: float = 180.0,
        exit_timeout_s: int = 20,
    ) -> None:
        if not repository.is_dir():
            raise InvalidArgumentError(
                f"serve: expected a folder of models, got {repository}, which is none; fill one"
                " with `fiqa-fast serve build-repo`"
            )
        self.repository = repository
        self._environment = environment or find_environment()
        self._ports = {"grpc": grpc_port, "http": http_port, "metrics": metrics_port}
        self._host = host
        self._flags = server_flags(
            model_control=model_control,
            load=load,
            cache_bytes=cache_bytes,
            rate_limit=rate_limit,
            trace_path=None if trace_path is None else trace_path.absolute(),
        )
        self._log_path = log_path
        self._start_timeout_s, self._exit_timeout_s = start_timeout_s, exit_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: OrphanWatch | None = None
        self._folder: Path | None = None  # of this run: backends, log
        self._region = ""  # what names in shared memory begin with

    @property
    def grpc_address(self) -> str:
        """Host and port of gRPC."""
        return f"{self._reached_at}:{self._ports['grpc']}"

    @property
    def http_address(self) -> str:
        """Host and port of HTTP."""
        return f"{self._reached_at}:{self._ports['http']}"

    @property
    def metrics_address(self) -> str:
        """Host and port of the Prometheus metrics (path /metrics)."""
        return f"{self._reached_at}:{self._ports['metrics']}"

    @property
    def _reached_at(self) -> str:
        return LOOPBACK if self._host == "0.0.0.0" else self._host

    @property
    def pid(self) -> int:
        """Of the running server.

        Raises:
            UnavailableError: it does not run.
        """
        if self._process is None:
            raise UnavailableError("serve: expected a running server, got a stopped one; start it")
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server of this run has logged so far; "" before a start."""
        path = self._log_file()
        return path.read_text(errors="replace") if path is not None and path.exists() else ""

    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        """Whether it answers, and all models that it was told to load are loaded."""
        try:
            with urllib.request.urlopen(
                f"http://{self.http_address}/v2/health/ready", timeout=5
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def start(self) -> None:
        """Starts the server and waits until it is ready.

        Raises:
            InvalidArgumentError: it runs already.
            UnavailableError: it ended, or was not ready in time; the message holds its errors.
        """
        if self.is_running():
            raise InvalidArgumentError(
                f"serve: expected a stopped server, got one that runs as process {self.pid};"
                " stop it first"
            )
        self._clean_up()
        self._choose_ports()
        self._folder = Path(tempfile.mkdtemp(prefix="fiqa-serve-"))
        self._region = f"fiqa_serve_{os.getpid()}_{next(_numbers)}_"
        assemble_backends(self._environment, self._folder / "backends")
        log = self._log_file()
        assert log is not None
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                self._command(self._folder / "backends"),
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        try:
            region = _SHARED_MEMORY / self._region
            self._watch = OrphanWatch(self._process.pid, self._folder, region)
            self._wait_until_ready()
        except BaseException:  # Ctrl-C too: nobody else knows this process yet
            self.kill()
            raise

    def stop(self) -> None:
        """Ends the server once requests in flight are answered; does nothing when it has ended."""
        self._end(signal.SIGTERM, self._exit_timeout_s + 10)

    def kill(self) -> None:
        """Ends the server at once, as a crash would; `start` brings it back."""
        self._end(signal.SIGKILL, 30)

    def restart(self) -> None:
        """Stops and starts it, under the same addresses."""
        self.stop()
        self.start()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for the server to end.

        Returns:
            Its exit status; None where it still runs after the time.
        """
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def __enter__(self) -> TritonServer:
        """Starts it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops it."""
        self.stop()

    def _command(self, backends: Path) -> list[str]:
        command = [
            str(self._environment.server),
            f"--model-repository={self.repository.absolute()}",
            f"--backend-directory={backends}",
            f"--cache-directory={self._environment.caches}",
            f"--exit-timeout-secs={self._exit_timeout_s}",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            f"--backend-config=python,shm-region-prefix-name={self._region}",
            *self._flags,
        ]
        for service, port in self._ports.items():
            command += [f"--{service}-address={self._host}", f"--{service}-port={port}"]
        return command

    def _variables(self) -> dict[str, str]:
        # Threads of OpenMP that wait for work by spinning take the cores from the server and from
        # the other models: measured 20 times slower beside one busy process.
        return {"OMP_WAIT_POLICY": "PASSIVE", **self._environment.variables()}

    def _choose_ports(self) -> None:
        held = []
        for service, port in self._ports.items():
            if port == 0:
                held.append(socket.create_server((self._host, 0)))
                self._ports[service] = held[-1].getsockname()[1]
        for listener in held:  # all at once, so that they are different
            listener.close()

    def _log_file(self) -> Path | None:
        if self._log_path is not None:
            return self._log_path
        return None if self._folder is None else self._folder / "server.log"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while not self.is_ready():
            if not self.is_running():
                problem = "it ended"
            elif time.monotonic() > deadline:
                problem = f"it was not ready after {self._start_timeout_s:g} s"
            else:
                time.sleep(_POLL_S)
                continue
            raise UnavailableError(
                f"serve: expected tritonserver to start on {self.repository}, but {problem}; it"
                f" says:\n{_complaints(self.log)}"
            )

    def _end(self, signal_number: signal.Signals, timeout_s: float) -> None:
        if self._process is not None:
            if self.is_running():
                self._process.send_signal(signal_number)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            _kill_models(self._region)
        self._clean_up()

    def _clean_up(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if self._region:
            for left in _SHARED_MEMORY.glob(f"{self._region}*"):
                left.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._region = None, ""


def _complaints(log: str) -> str:
    """Those lines of a log that are errors, or the last ones where none is."""
    lines = log.splitlines()
    errors = [line for line in lines if _ERROR.match(line)]
    return "\n".join((errors or lines)[-_LOG_LINES:])


def _kill_models(region: str) -> None:
    """Ends what runs the models of a server that has ended: they would notice it later."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
            if words[0].endswith(b"triton_python_backend_stub") and any(
                region.encode() in word for word in words
            ):
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except OSError:  # it has ended meanwhile, or is another user's
            continue
