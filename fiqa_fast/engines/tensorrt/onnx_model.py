"""What a graph in an ONNX file is: inputs, outputs, number formats, structure, provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx

from fiqa_fast.engines.onnx_file import METADATA_KEY
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.provenance import Provenance

_FLOATS = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.DOUBLE: "float64",
}


@dataclass(frozen=True)
class OnnxTensor:
    """An input or output of a graph.

    Attributes:
        name: in the graph.
        dtype: as ONNX names it, such as "UINT8".
        shape: sizes; None where one is dynamic.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if s is None else str(s) for s in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"


@dataclass(frozen=True)
class OnnxModel:
    """A graph and the digest of its file.

    Attributes:
        path: of the file.
        sha256: of the file's content, in hexadecimal.
        proto: the graph, with its weights.
    """

    path: Path
    sha256: str
    proto: onnx.ModelProto

    @property
    def inputs(self) -> tuple[OnnxTensor, ...]:
        """What the caller gives, in the graph's order."""
        weights = {i.name for i in self.proto.graph.initializer}
        return tuple(_tensor(v) for v in self.proto.graph.input if v.name not in weights)

    @property
    def outputs(self) -> tuple[OnnxTensor, ...]:
        """What it returns, in the graph's order."""
        return tuple(_tensor(v) for v in self.proto.graph.output)

    @property
    def provenance(self) -> Provenance | None:
        """What made the graph; None where the file does not say.

        Raises:
            InvalidArgumentError: the file says something else under that name.
        """
        texts = {p.key: p.value for p in self.proto.metadata_props}
        text = texts.get(METADATA_KEY)
        return None if text is None else Provenance.from_json(text)

    @property
    def number_formats(self) -> tuple[str, ...]:
        """Floating formats of its weights and of what it converts to, sorted."""
        graph = self.proto.graph
        found = {tensor.data_type for tensor in graph.initializer}
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name == "to":
                    found.add(attribute.i)
                if attribute.type == onnx.AttributeProto.TENSOR:
                    found.add(attribute.t.data_type)
        return tuple(sorted(_FLOATS[f] for f in found if f in _FLOATS))

    @property
    def uses_bfloat16(self) -> bool:
        """Whether anything in it is bfloat16."""
        return "bfloat16" in self.number_formats

    @property
    def structure_sha256(self) -> str:
        """Digest of all but the floating weights' values: the same for two networks of a kind."""
        digest = hashlib.sha256()
        for part in _structure(self.proto):
            digest.update(part + b"\0")
        return digest.hexdigest()


def read_onnx(path: Path) -> OnnxModel:
    """Reads an ONNX file.

    Raises:
        InvalidArgumentError: it cannot be read, is no ONNX file, or its weights lie elsewhere.
    """
    try:
        content = path.read_bytes()
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf has exceptions of its own
        raise InvalidArgumentError(
            f"tensorrt: expected an ONNX file, got {path}: {error}; export the scorer again"
        ) from error
    if not proto.graph.node:
        raise InvalidArgumentError(
            f"tensorrt: expected an ONNX file with a graph, got {path}, which has no operator;"
            " export the scorer again"
        )
    places = {tensor.data_location for tensor in proto.graph.initializer}
    if onnx.TensorProto.EXTERNAL in places:
        raise InvalidArgumentError(
            f"tensorrt: expected an ONNX file with its weights inside, got {path}, whose weights"
            " lie in other files; export it with external_data=False"
        )
    return OnnxModel(path, hashlib.sha256(content).hexdigest(), proto)


def _tensor(value: onnx.ValueInfoProto) -> OnnxTensor:
    kind = value.type.tensor_type
    sizes = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return OnnxTensor(value.name, onnx.TensorProto.DataType.Name(kind.elem_type), sizes)


def _structure(proto: onnx.ModelProto) -> Iterable[bytes]:
    graph = proto.graph
    for part in (*proto.opset_import, *graph.input, *graph.output, *graph.node):
        yield part.SerializeToString(deterministic=True)
    for tensor in graph.initializer:
        yield f"{tensor.name} {tensor.data_type} {list(tensor.dims)}".encode()
        if tensor.data_type not in _FLOATS:  # shapes and axes, not weights
            yield onnx.numpy_helper.to_array(tensor).tobytes()
