"""Finds the tritonserver that `make serve-env` installed, and what it needs to run."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from fiqa_fast.errors import UnavailableError

ENVIRONMENT_VARIABLE = "FIQA_SERVE_ENV"
DEFAULT_NAME = ".venv-serve"


@dataclass(frozen=True)
class ServeEnvironment:
    """A Python environment with Triton in it: numpy 1, and the rest from fiqa_fast's environment.

    Attributes:
        folder: the environment.
        server: tritonserver.
        caches: folder of the response caches.
        python_backend: folder of the python backend.
        stub: the program in which the python backend runs models, for this version of Python.
        libraries: folder of the shared libraries of tritonserver.
        python_library: folder of libpython, which the stub needs.
    """

    folder: Path
    server: Path
    caches: Path
    python_backend: Path
    stub: Path
    libraries: Path
    python_library: Path

    def variables(self) -> dict[str, str]:
        """Environment variables of a server that runs in this environment."""
        libraries = f"{self.libraries}:{self.python_library}"
        path = f"{self.folder / 'bin'}:{os.environ.get('PATH', os.defpath)}"
        inherited = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        return {**inherited, "LD_LIBRARY_PATH": libraries, "PATH": path}


# They would give the models another Python, or other packages, than the environment's.
_NOT_INHERITED = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "LD_PRELOAD")


def find_environment(folder: Path | None = None) -> ServeEnvironment:
    """Finds the environment that serves.

    Args:
        folder: of the environment. None: what the variable FIQA_SERVE_ENV names, or `.venv-serve`
            beside the environment of this Python, where `make serve-env` puts it.

    Raises:
        UnavailableError: nothing is there, or not all of it; the message says how to make it.
    """
    if folder is None:
        named = os.environ.get(ENVIRONMENT_VARIABLE)
        folder = Path(named) if named else Path(sys.prefix).parent / DEFAULT_NAME
    folder = folder.absolute()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / f"python{version}" / "site-packages"
    triton = packages / "pytriton" / "tritonserver"
    found = ServeEnvironment(
        folder=folder,
        server=triton / "bin" / "tritonserver",
        caches=triton / "caches",
        python_backend=triton / "backends" / "python",
        stub=triton / "python_backend_stubs" / version / "triton_python_backend_stub",
        libraries=packages / "nvidia_pytriton.libs",
        python_library=Path(sysconfig.get_config_var("LIBDIR")),
    )
    for part in (found.server, found.caches, found.python_backend, found.stub, found.libraries):
        if not part.exists():
            raise UnavailableError(
                f"serve: expected an environment with Triton for Python {version} in {folder},"
                f" found no {part.relative_to(folder)}; run `make serve-env`, or name the"
                f" environment in {ENVIRONMENT_VARIABLE}"
            )
    if not any(packages.glob("numpy-1.*.dist-info")):
        raise UnavailableError(
            f"serve: expected numpy 1 in {folder}, found none; with numpy 2 Triton's python backend"
            " reads tensors as zeros, in silence; run `make serve-env`"
        )
    return found
