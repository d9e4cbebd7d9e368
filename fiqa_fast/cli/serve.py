"""`fiqa-fast serve`: model repositories for Triton Inference Server, and the server."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from fiqa_fast.cli.exit_codes import ExitCode
from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.serving.container import container_command
from fiqa_fast.serving.flags import ModelControl, server_flags
from fiqa_fast.serving.repository.build import build_repository
from fiqa_fast.serving.repository.check import check_repository
from fiqa_fast.serving.repository.settings import read_settings
from fiqa_fast.serving.server import LOOPBACK, TritonServer

serve = typer.Typer(
    name="serve",
    help="Fill and check a model repository for Triton Inference Server, and start the server.",
    no_args_is_help=True,
)

_Repository = Annotated[Path, typer.Argument(metavar="DIR", help="The model repository.")]


@serve.command("build-repo")
def build_repo(
    description: Annotated[Path, typer.Argument(metavar="YAML", help="What it shall serve.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to fill.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace versions that are there already.")
    ] = False,
    without_data: Annotated[
        bool,
        typer.Option("--without-data", help="Leave out weights and graphs: configurations only."),
    ] = False,
    stand_in: Annotated[
        bool,
        typer.Option(
            "--stand-in",
            help="Fill a repository for GPUs so that a CPU loads it, to test its configurations.",
        ),
    ] = False,
) -> None:
    """Fill a model repository from a short YAML; triton_repo/repository.yaml is an example."""
    models = build_repository(
        read_settings(description),
        out,
        overwrite=overwrite,
        without_data=without_data,
        stands_in=stand_in,
    )
    for model in models:
        typer.echo(f"wrote {out / model}")


@serve.command()
def check(repository: _Repository) -> None:
    """Say what is wrong with a repository: files, shapes, digests, provenance. Exit code 1: any."""
    findings = check_repository(repository)
    for finding in findings:
        typer.echo(str(finding))
    if findings:
        raise typer.Exit(ExitCode.UNAVAILABLE)
    typer.echo(f"{repository}: nothing wrong")


@serve.command()
def start(
    repository: _Repository,
    gpu: Annotated[
        bool,
        typer.Option("--gpu/--cpu", help="In NVIDIA's container on all GPUs, or here on the CPU."),
    ] = False,
    grpc_port: Annotated[int, typer.Option(help="0: any free one.")] = 8001,
    http_port: Annotated[int, typer.Option(help="0: any free one.")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="0: any free one.")] = 8002,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = LOOPBACK,
    load: Annotated[
        list[str] | None,
        typer.Option(help="Load these models, and let clients load and unload; default: all."),
    ] = None,
    cache_mb: Annotated[int, typer.Option(help="Size of the response cache; 0: none.")] = 64,
    rate_limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=COUNT", help="A resource that models share.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for the server's log; CPU only.")] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="File for traces; clients switch them on and off. CPU only."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --gpu: print the command, do not run it.")
    ] = False,
) -> None:
    """Start a server, wait until it is ready, and run it until Ctrl-C or SIGTERM."""
    control: ModelControl = "none" if load is None else "explicit"
    limits = _resources(rate_limit or [])
    cache_bytes = cache_mb << 20
    if gpu:
        flags = server_flags(
            model_control=control, load=load or (), cache_bytes=cache_bytes, rate_limit=limits
        )
        command = container_command(
            repository,
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            host=host,
            flags=flags,
        )
        typer.echo(shlex.join(command))
        if not dry_run:
            _run_container(command)
        return
    server = TritonServer(
        repository,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        host=host,
        model_control=control,
        load=load or (),
        cache_bytes=cache_bytes,
        log_path=log,
        rate_limit=limits,
        trace_path=trace,
    )
    with _until_told_to_stop(), server:
        typer.echo(f"grpc:    {server.grpc_address}")
        typer.echo(f"http:    {server.http_address}")
        typer.echo(f"metrics: http://{server.metrics_address}/metrics")
        typer.echo(f"ready; process {server.pid}; Ctrl-C ends it")
        status = server.wait()
        raise UnavailableError(
            f"serve: expected the server to run until it is told to stop, but it ended with"
            f" {status}; its last lines:\n{server.log[-2000:]}"
        )


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM, which are how a server ends."""


@contextmanager
def _until_told_to_stop() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Stopped:
        typer.echo("stopped")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_container(command: Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise UnavailableError(
            f"serve: expected the program {command[0]}, found none; install Docker and the NVIDIA"
            " container toolkit, or serve on the CPU with --cpu"
        )
    status = subprocess.run(command, check=False).returncode
    if status:
        raise UnavailableError(
            f"serve: expected the container to run until it is told to stop, but it ended with"
            f" {status}; build its image with `docker build -f deploy/Dockerfile`"
        )


def _resources(given: Sequence[str]) -> dict[str, int] | None:
    resources = {}
    for text in given:
        name, equals, count = text.partition("=")
        if not (name and equals and count.isdecimal() and int(count) > 0):
            raise InvalidArgumentError(
                f"serve: expected --rate-limit NAME=COUNT with a whole number of 1 or more, got"
                f" {text!r}; for example cores=2"
            )
        resources[name] = int(count)
    return resources or None
