"""A plan and its record on disk: NAME.plan and NAME.plan.json beside it.

A plan carries no metadata that can be read without a GPU. So the record says what was built from
what, for which GPUs and by which version, and a plan is loaded only where all of it agrees.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fiqa_fast.engines.tensorrt.batch_profile import BatchProfile
from fiqa_fast.engines.tensorrt.libraries import Flavour, Library
from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.provenance import Provenance

_REBUILD = "build the plan again"


@dataclass(frozen=True)
class PlanRecord:
    """What there is to know about a plan.

    Attributes:
        provenance: of the scorer whose graph it is; None where the ONNX file did not say.
        flavour: whose plan it is: "tensorrt" or "tensorrt-rtx".
        version: of the library that built it, and that alone can load it.
        compute_capabilities: of the GPUs that it was built for, such as "SM86".
        profile: its batch sizes.
        number_formats: floating formats of the graph, such as "float32"; they are the plan's.
        turing: whether float32 matrix products became convolutions (`turing.py`).
        refittable: whether it takes other weights of the same architecture.
        workspace_bytes: the most scratch memory its kernels may take; None: the library's choice.
        structure_sha256: digest of the graph without the values of its weights.
        onnx_sha256: digest of the ONNX file.
        plan_sha256: digest of the plan file.
    """

    provenance: Provenance | None
    flavour: Flavour
    version: str
    compute_capabilities: tuple[str, ...]
    profile: BatchProfile
    number_formats: tuple[str, ...]
    turing: bool
    refittable: bool
    workspace_bytes: int | None
    structure_sha256: str
    onnx_sha256: str
    plan_sha256: str

    def to_json(self) -> str:
        """As JSON, for people too."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> PlanRecord:
        """Reads what `to_json` wrote.

        Raises:
            InvalidArgumentError: the text is something else.
        """
        try:
            record: Any = json.loads(text)
            if record.keys() != {field.name for field in fields(cls)}:
                raise ValueError("other keys")
            made_by = record["provenance"]
            return cls(
                **{
                    **record,
                    "provenance": made_by and Provenance.from_json(json.dumps(made_by)),
                    "compute_capabilities": tuple(record["compute_capabilities"]),
                    "number_formats": tuple(record["number_formats"]),
                    "profile": BatchProfile(**record["profile"]),
                }
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidArgumentError(
                f"tensorrt: expected the record of a plan, got {text[:80]!r}: {error}; {_REBUILD}"
            ) from error

    def require_library(self, library: Library) -> None:
        """Refuses a library that cannot load the plan.

        Raises:
            UnavailableError: it has another version.
        """
        if library.version != self.version:
            raise UnavailableError(
                f"{self.flavour}: expected the version that built the plan, {self.version}, got"
                f" {library.version}; {_REBUILD}, or install that version"
            )

    def require_gpu(self, compute_capability: str) -> None:
        """Refuses a GPU that the plan was not built for.

        Raises:
            UnavailableError: its compute capability is another one.
        """
        if compute_capability not in self.compute_capabilities:
            raise UnavailableError(
                f"{self.flavour}: expected a GPU with"
                f" {' or '.join(self.compute_capabilities)}, got {compute_capability}; {_REBUILD}"
                " for this GPU"
            )


def record_path(plan: Path) -> Path:
    """Where the record of a plan lies."""
    return plan.with_name(f"{plan.name}.json")


def write_plan(plan: Path, content: bytes, record: PlanRecord) -> None:
    """Writes plan and record; a plan that was there before stays whole until then.

    Raises:
        InvalidArgumentError: the folder cannot be written to.
    """
    try:
        plan.parent.mkdir(parents=True, exist_ok=True)
        replace_file(plan, content)
        replace_file(record_path(plan), record.to_json().encode())
    except OSError as error:
        raise InvalidArgumentError(
            f"tensorrt: expected a plan file that can be written, got {plan}: {error};"
            " choose another folder"
        ) from error


def read_record(plan: Path) -> PlanRecord:
    """What a plan says about itself, without loading it.

    Raises:
        InvalidArgumentError: there is no record, or it is none.
    """
    try:
        text = record_path(plan).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InvalidArgumentError(
            f"tensorrt: expected {record_path(plan)} beside the plan, got: {error}; {_REBUILD}"
        ) from error
    return PlanRecord.from_json(text)


def read_plan(plan: Path, onnx: Path | None = None) -> tuple[bytes, PlanRecord]:
    """Reads a plan and its record, and checks that they belong together.

    Args:
        plan: the plan file.
        onnx: an ONNX file that the plan must have been built from; None: not checked.

    Raises:
        InvalidArgumentError: a file is missing, or a digest is not that of the record.
    """
    record = read_record(plan)
    try:
        content = plan.read_bytes()
        source = None if onnx is None else onnx.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(
            f"tensorrt: expected a plan and its graph, got: {error}; {_REBUILD}"
        ) from error
    _check_digest(plan, content, record.plan_sha256)
    if onnx is not None and source is not None:
        _check_digest(onnx, source, record.onnx_sha256)
    return content, record


def _check_digest(path: Path, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InvalidArgumentError(
            f"tensorrt: expected {path} to have the sha256 of the plan's record, {expected[:12]},"
            f" got {found[:12]}; {_REBUILD}"
        )


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file in one step: readers see the old content or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
