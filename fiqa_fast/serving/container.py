"""The command that serves a repository on a GPU, in NVIDIA's container. Has never run on a GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

IMAGE = "fiqa-fast-triton"
"""Name of the image that is built from deploy/Dockerfile."""

_MODELS = "/models"


def container_command(
    repository: Path,
    *,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    host: str,
    flags: Sequence[str] = (),
    image: str = IMAGE,
) -> list[str]:
    """The `docker run` command line.

    Args:
        repository: filled with `device: gpu`; the container reads it only.
        grpc_port: on the host.
        http_port: on the host.
        metrics_port: on the host.
        host: address of the host's side of the ports.
        flags: further ones of tritonserver, from `server_flags`.
        image: built from deploy/Dockerfile.
    """
    command = ["docker", "run", "--rm", "--gpus=all", "--shm-size=1g"]
    command += ["--ulimit=memlock=-1", "--ulimit=stack=67108864", f"--user={os.getuid()}"]
    for outside, inside in ((http_port, 8000), (grpc_port, 8001), (metrics_port, 8002)):
        command.append(f"--publish={host}:{outside}:{inside}")
    command += [f"--volume={repository.absolute()}:{_MODELS}:ro", image, "tritonserver"]
    return [*command, f"--model-repository={_MODELS}", *flags]
