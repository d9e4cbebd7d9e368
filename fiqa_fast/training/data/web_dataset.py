"""WebDataset: tar files (shards) of images, each with a label beside it under the same key."""

from __future__ import annotations

import glob
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.checks import name_some
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.index_cache import Index, remembered_index
from fiqa_fast.training.data.pieces import Pieces

IMAGE_ENDINGS = frozenset({"jpg", "jpeg", "png", "webp"})
LABEL_ENDINGS = ("cls", "json")

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
# A key goes up to the first dot of the file's name, as the webdataset package takes it.
_MEMBER = re.compile(r"((?:.*/)?[^./][^.]*)\.([^/]*)", re.DOTALL)
_BLOCK_BYTES = 512


def open_web_dataset(
    shards: str | Path | Sequence[str | Path],
    *,
    name: str | None = None,
    label_field: str = "label",
    index_folder: Path | None = None,
) -> TrainingSet:
    """Reads the headers and labels of all shards; images are then read by offset.

    A sample is `KEY.jpg` (or jpeg, png, webp) with `KEY.cls`, an integer, or else `KEY.json`, an
    object with the label in one field. Other files are passed over. Samples are named
    "SHARD/KEY", since keys may begin anew in each shard; identities are the distinct labels in
    their order (as numbers where all are integers).

    Args:
        shards: a list of .tar files; or one name, in which {000..099} stands for every number of a
            range, written as wide, and *, ? and [...] for the files that exist.
        name: of the data set; None: the name of the first shard.
        label_field: of the .json files.
        index_folder: see `remembered_index`.

    Raises:
        InvalidArgumentError: a shard is missing, compressed, damaged or not whole; a key is there
            twice; an image without label, a label without image, or a wrong label.
    """
    paths = expand_shards(shards)
    index = remembered_index(
        paths, lambda: _build(paths, label_field), index_folder, options=label_field
    )
    keys, labels = _split(index["keys"]), _split(index["labels"])
    number = {label: i for i, label in enumerate(_in_order(labels))}
    stems = [path.stem for path in paths]
    samples = (f"{stems[shard]}/{key}" for shard, key in zip(index["shard"], keys, strict=True))
    return TrainingSet(
        name=name or paths[0].stem,
        samples=tuple(samples),
        identity=np.fromiter((number[label] for label in labels), np.int32, len(labels)),
        identity_names=tuple(number),
        read=_MemberReader(paths, index["shard"], index["offset"], index["size"]),
    )


def expand_shards(shards: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that a pattern or list names; see `open_web_dataset`.

    Raises:
        InvalidArgumentError: there is none, or one does not exist.
    """
    given = [shards] if isinstance(shards, str | Path) else list(shards)
    paths: list[Path] = []
    for pattern in (expanded for one in given for expanded in _expand_ranges(str(one))):
        if glob.has_magic(pattern) and not Path(pattern).exists():
            paths += sorted(Path(match) for match in glob.glob(pattern))  # noqa: PTH207
        else:
            paths.append(Path(pattern))
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        raise InvalidArgumentError(
            f"training set: expected existing .tar files, got {name_some(missing, len(missing))}"
            f"{'' if paths else f'none for {given}'}; check the pattern or list"
        )
    return paths


class _MemberReader:
    """The image of each sample: shard int32 [S], offset and size int64 [S]."""

    def __init__(
        self,
        paths: Sequence[Path],
        shard: npt.NDArray[np.int32],
        offset: npt.NDArray[np.int64],
        size: npt.NDArray[np.int64],
    ) -> None:
        self._pieces = Pieces(paths)
        self._shard, self._offset, self._size = shard, offset, size

    def __call__(self, position: int) -> bytes:
        return self._pieces.read(
            int(self._shard[position]), int(self._offset[position]), int(self._size[position])
        )


@dataclass
class _Entry:
    """What a shard has under one key; places are (offset, size)."""

    images: list[tuple[int, int]] = field(default_factory=list)
    labels: dict[str, list[tuple[int, int]]] = field(default_factory=dict)


def _expand_ranges(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        filled = f"{pattern[: found.start()]}{number:0{len(first)}d}{pattern[found.end() :]}"
        yield from _expand_ranges(filled)


def _build(paths: Sequence[Path], label_field: str) -> Index:
    shard, offset, size = [], [], []
    keys, labels = [], []
    for number, path in enumerate(paths):
        pieces = Pieces([path])
        for key, entry in _entries(path).items():
            label = _label(pieces, path, key, entry, label_field)
            shard.append(number)
            offset.append(entry.images[0][0])
            size.append(entry.images[0][1])
            keys.append(key)
            labels.append(label)
    return {
        "shard": np.array(shard, np.int32),
        "offset": np.array(offset, np.int64),
        "size": np.array(size, np.int64),
        "keys": _joined(keys),
        "labels": _joined(labels),
    }


def _entries(path: Path) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                # They are kept otherwise, and there may be millions.
                tar.members.clear()  # type: ignore[attr-defined]
                parts = _MEMBER.fullmatch(member.name)
                if not member.isreg() or parts is None:
                    continue
                key, ending = parts[1], parts[2].lower()
                place = (member.offset_data, member.size)
                if ending in IMAGE_ENDINGS:
                    entries.setdefault(key, _Entry()).images.append(place)
                elif ending in LABEL_ENDINGS:
                    entry = entries.setdefault(key, _Entry())
                    entry.labels.setdefault(ending, []).append(place)
            end = tar.offset
        with path.open("rb") as file:
            file.seek(end)
            # tarfile takes a damaged header for the end.
            if file.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
                raise tarfile.ReadError(f"no header and no end of the archive at offset {end}")
    except (OSError, tarfile.TarError) as error:
        raise InvalidArgumentError(
            f"training set: expected a whole, uncompressed tar file, got {path} ({error}); get it"
            " again, or unpack it from its compression"
        ) from error
    return entries


def _label(pieces: Pieces, path: Path, key: str, entry: _Entry, label_field: str) -> str:
    """The label as text; raises InvalidArgumentError where the entry is no sample."""
    ending = next((ending for ending in LABEL_ENDINGS if ending in entry.labels), None)
    if len(entry.images) != 1 or ending is None or len(entry.labels[ending]) != 1:
        counts = ", ".join(
            f"{len(entry.labels[known])} .{known}"
            for known in LABEL_ENDINGS
            if known in entry.labels
        )
        raise InvalidArgumentError(
            f"training set: expected one image and one label under each key of {path}, got"
            f" {len(entry.images)} images and {counts or 'no label'} for {key}; write"
            f" {key}.jpg with {key}.cls or {key}.json, and each key once"
        )
    text = pieces.read(0, *entry.labels[ending][0])
    try:
        value = json.loads(text)[label_field] if ending == "json" else int(text)
        if isinstance(value, bool) or not isinstance(value, int | str) or "\0" in str(value):
            raise ValueError(f"{value!r}")
    except (ValueError, KeyError, TypeError) as error:
        wanted = (
            f"an integer or text in the field {label_field!r}" if ending == "json" else "an integer"
        )
        raise InvalidArgumentError(
            f"training set: expected {wanted} in {key}.{ending} of {path}, got {text[:40]!r}"
            f" ({type(error).__name__}: {error}); correct the label"
        ) from error
    return str(value)


def _in_order(labels: Sequence[str]) -> list[str]:
    distinct = set(labels)
    if all(_is_integer(label) for label in distinct):
        return sorted(distinct, key=int)
    return sorted(distinct)


def _is_integer(label: str) -> bool:
    try:
        return str(int(label)) == label
    except ValueError:
        return False


def _joined(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Texts as one array; neither names in a tar file nor labels hold a NUL."""
    content = "".join(f"{text}\0" for text in texts).encode("utf-8", "surrogateescape")
    return np.frombuffer(content, np.uint8)


def _split(content: npt.NDArray[np.uint8]) -> list[str]:
    return content.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
