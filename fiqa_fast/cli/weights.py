"""`fiqa-fast weights`: looks into weights files, and makes new ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import typer

from fiqa_fast.backbones import checkpoint_metadata
from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.batch_norm_statistics import estimate_statistics, replace_statistics
from fiqa_fast.backbones.checkpoints import network_of, tensors_to_write
from fiqa_fast.backbones.registry import list_backbones, load_backbone
from fiqa_fast.cli.crops import find_crops
from fiqa_fast.cli.exit_codes import ExitCode
from fiqa_fast.errors import FiqaError, InvalidArgumentError, ResultsError, WeightsError
from fiqa_fast.fused.activation_ranges import measure_ranges
from fiqa_fast.scorers.registry import create_scorer, list_scorers
from fiqa_fast.weights import safetensors_file
from fiqa_fast.weights.file import WeightsFile, read_weights

_SUFFIX = ".safetensors"
_SHOWN_TENSORS, _SHOWN_TEXT = 12, 200  # tensors; characters

weights = typer.Typer(
    name="weights",
    help="Look into weights files, convert them, measure what methods and precisions need.",
    no_args_is_help=True,
)

_Network = Annotated[
    str | None,
    typer.Option("--network", help="What the file holds, where it does not show it itself."),
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file to be written.")]
_FileOrName = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK", help="A weights file, or the name of a network with packaged weights."
    ),
]
_Faces = Annotated[
    list[str], typer.Argument(help="Photographs or crops: folders, files, patterns, lists.")
]
_Out = Annotated[Path, typer.Option("-o", "--out", help="The safetensors file to write.")]
_Aligned = Annotated[
    bool, typer.Option("--aligned", help="Take images as aligned crops; no face detection.")
]


@weights.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A weights file of any format.")],
    network: _Network = None,
) -> None:
    """Show a file's format, network and head, what runs on it, or why it is not recognised."""
    _check_name(network)
    content = read_weights(file)
    _show("file", str(content.path))
    _show("format", content.format)
    _show("sha256", content.sha256)
    _show("tensors", _counts(content))
    for key, text in sorted(content.metadata.items()):
        shown = text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}... ({len(text)} long)"
        _show("metadata", f"{key} = {shown}")
    try:
        backbone = network_of(content, network)
    except WeightsError as error:
        _show("network", f"cannot be loaded: {error}")
        for name, tensor in islice(content.tensors.items(), _SHOWN_TENSORS):
            _show("tensor", f"{name} {list(tensor.shape)} {_dtype(tensor.dtype)}")
        raise typer.Exit(ExitCode.UNAVAILABLE) from error
    for fact, text in _facts(backbone):
        _show(fact, text)


@weights.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A weights file of any format.")],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    network: _Network = None,
    licence: Annotated[
        str | None, typer.Option(help="Of the weights; default: what is known of the network.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where the weights come from, in words or as an address.")
    ] = None,
    overwrite: _Overwrite = False,
) -> None:
    """Write a file's network as safetensors, with what is known about it as metadata.

    The new file is checked, cannot hold code, and gives the same scores to the bit.
    """
    _check_name(network)
    _check_out(out, overwrite)
    content = read_weights(file)
    backbone = network_of(content, network)
    metadata = checkpoint_metadata.describe(backbone)
    metadata |= _origin(content)
    if licence is not None:
        metadata[checkpoint_metadata.LICENCE] = licence
    if source is not None:
        metadata[checkpoint_metadata.SOURCE] = source
    safetensors_file.write(out, tensors_to_write(backbone), metadata)
    typer.echo(f"wrote {out}: {backbone.spec.name}")


@weights.command("calibrate-bn")
def calibrate_bn(
    file: _FileOrName,
    faces: _Faces,
    out: _Out,
    network: _Network = None,
    aligned: _Aligned = False,
    overwrite: _Overwrite = False,
) -> None:
    """Re-estimate the running statistics of all BatchNorm layers over faces.

    For GraFIQs on networks whose statistics were folded away. The network's embeddings stay what
    they were. Statistics of hundreds of people say more than those of a few.
    """
    _check_name(network)
    _check_out(out, overwrite)
    backbone, origin = _load(file, network)
    statistics = estimate_statistics(backbone, find_crops(faces, aligned=aligned))
    replace_statistics(backbone, statistics)
    _write(out, backbone, origin)
    typer.echo(f"wrote {out}: {backbone.spec.name}, BatchNorm statistics {statistics}")


@weights.command("calibrate-int8")
def calibrate_int8(
    file: _FileOrName,
    faces: _Faces,
    out: _Out,
    network: _Network = None,
    aligned: _Aligned = False,
    overwrite: _Overwrite = False,
) -> None:
    """Measure over faces how large a network's activations get, for --precision int8.

    The network stays what it was. What the faces do not reach is cut off in int8: give dozens of
    them, as different as those that will be scored, bad ones among them.
    """
    _check_name(network)
    _check_out(out, overwrite)
    backbone, origin = _load(file, network)
    backbone.activation_ranges = measure_ranges(backbone, find_crops(faces, aligned=aligned))
    _write(out, backbone, origin)
    typer.echo(f"wrote {out}: {backbone.spec.name}, ranges of {backbone.activation_ranges}")


def _load(file: str, network: str | None) -> tuple[Backbone, dict[str, str]]:
    """The network of a file or of that name, and metadata about where it comes from."""
    if file in _names():
        return load_backbone(file), {}
    content = read_weights(Path(file))
    return network_of(content, network), _origin(content)


def _write(out: Path, backbone: Backbone, origin: dict[str, str]) -> None:
    metadata = checkpoint_metadata.describe(backbone) | origin
    safetensors_file.write(out, tensors_to_write(backbone), metadata)


def _names() -> list[str]:
    return [spec.name for spec in list_backbones()]


def _check_name(network: str | None) -> None:
    if network is not None and network not in _names():
        raise InvalidArgumentError(
            f"weights: expected --network to be one of {', '.join(_names())}, got {network!r};"
            " leave it out where the file shows what it holds"
        )


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix != _SUFFIX:
        raise InvalidArgumentError(
            f"weights: expected the name of a {_SUFFIX} file to write, got {out}; change its ending"
        )
    if out.exists() and not overwrite:
        raise ResultsError(
            f"weights: expected a file that does not exist, got {out}; choose another name, or"
            " replace it with --overwrite"
        )


def _origin(content: WeightsFile) -> dict[str, str]:
    """Metadata about the file that a new one is made from, and what that one knew of its own."""
    known = (checkpoint_metadata.LICENCE, checkpoint_metadata.SOURCE)
    return {
        checkpoint_metadata.SOURCE_FILE: content.path.name,
        checkpoint_metadata.SOURCE_FORMAT: content.format,
        **{key: content.metadata[key] for key in known if key in content.metadata},
    }


def _facts(backbone: Backbone) -> Iterator[tuple[str, str]]:
    """What `inspect` says about a network."""
    spec = backbone.spec
    yield "network", f"{spec.name}, {spec.title}"
    yield "input", str(spec.input)
    yield "embedding", f"{spec.embedding_size} numbers" if spec.embedding_size else "none"
    yield "dropout", f"{spec.dropout:g}"
    for tap, layer in spec.taps.items():
        yield f"tap {tap}", layer
    yield "BatchNorm2d", f"{len(backbone.batch_norms)} layers, statistics: {backbone.bn_statistics}"
    ranges = backbone.activation_ranges
    yield "int8", "not calibrated" if ranges is None else f"ranges of {ranges}"
    yield "head", backbone.head.kind if backbone.head else "none"
    yield "licence", spec.licence
    runs = []
    for method in list_scorers():
        try:
            create_scorer(method.name, backbone=backbone)
        except FiqaError as error:  # the network lacks something, or the method needs other files
            if not method.networks or spec.name in method.networks:
                yield "cannot run", str(error)
        else:
            runs.append(method.name)
    yield "can run", ", ".join(runs) or "no method"


def _counts(content: WeightsFile) -> str:
    tensors = content.tensors.values()
    numbers = sum(tensor.numel() for tensor in tensors)
    dtypes = ", ".join(sorted({_dtype(tensor.dtype) for tensor in tensors}))
    return f"{len(tensors)}, with {numbers:,} numbers of {dtypes}"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _show(fact: str, text: str) -> None:
    typer.echo(f"{fact + ':':<13}{text}")
