"""Graphs that were traced before: tracing takes seconds to minutes.

Kept in the folder `fiqa_fast` of the user's cache (XDG_CACHE_HOME, or ~/.cache), or in
FIQA_FAST_CACHE. Files may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import onnx
import torch

from fiqa_fast.engines.onnx_file import OPSET, to_onnx
from fiqa_fast.provenance import provenance_of
from fiqa_fast.scorers.base import Scorer

ENVIRONMENT_VARIABLE = "FIQA_FAST_CACHE"
_CODE = Path(__file__).parent


def onnx_of(scorer: Scorer, outputs: tuple[str, ...]) -> onnx.ModelProto:
    """The graph of some outputs of a scorer, from the cache or traced.

    Args:
        scorer: as `to_onnx` takes it. Where its network's weights come from no file, nothing is
            kept.
        outputs: as `to_onnx` takes them.
    """
    path = _path(scorer, outputs)
    if path is not None and path.exists():
        try:
            return onnx.load(path)
        except Exception:  # a damaged file: protobuf raises what it likes
            path.unlink()
    model = to_onnx(scorer, outputs)
    if path is not None:
        _keep(model, path)
    return model


def cache_folder() -> Path:
    """Where graphs are kept."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fiqa_fast"


def _path(scorer: Scorer, outputs: tuple[str, ...]) -> Path | None:
    if not scorer.backbone.weights_sha256:
        return None
    facts = (provenance_of(scorer).to_json(), outputs, OPSET, torch.__version__)
    key = hashlib.sha256(repr(facts).encode())
    for file in sorted([*_CODE.glob("*.py"), *_CODE.parent.glob("scorers/*.py")]):
        key.update(file.read_bytes())  # what traces, and what is traced
    return cache_folder() / "graphs" / f"{scorer.spec.name}-{key.hexdigest()[:24]}.onnx"


def _keep(model: onnx.ModelProto, path: Path) -> None:
    """The file appears when it is whole. A folder that cannot be written to is no error."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, unfinished)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
