"""Puts together the folder of backends that a server is started with."""

from __future__ import annotations

import shutil
from pathlib import Path

from fiqa_fast.serving.environment import ServeEnvironment

STAND_INS = Path(__file__).parent / "backends"
"""Backends written in Python; a folder for each, of that name."""


def assemble_backends(environment: ServeEnvironment, folder: Path) -> None:
    """Copies Triton's python backend and our own backends into a folder.

    Copies, since Triton refuses links that lead out of the folder.

    Args:
        environment: where Triton's own backend is.
        folder: is made; must not exist.
    """
    backend = folder / "python"
    backend.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copy(environment.python_backend / name, backend)
    stub = shutil.copy(environment.stub, backend)
    Path(stub).chmod(0o755)  # wheels lose the permission
    for ours in STAND_INS.iterdir():
        if (ours / "model.py").exists():
            shutil.copytree(ours, folder / ours.name, ignore=shutil.ignore_patterns("__pycache__"))
