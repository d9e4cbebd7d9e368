"""`engine.json` in a version folder: which exported graph a model runs, and how."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "engine.json"


@dataclass(frozen=True)
class EngineFile:
    """What the python-based backends need to know; TensorRT's own backend does not read it.

    Attributes:
        graph: name of the exported file in the same folder.
        threads: of the CPU that one instance works with.
        stands_in: runs in the place of another engine, which config.pbtxt promises.
    """

    graph: str
    threads: int
    stands_in: bool = False
