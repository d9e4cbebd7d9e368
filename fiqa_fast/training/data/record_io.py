"""InsightFace's RecordIO files: `train.rec` with `train.idx` and `property`, read without MXNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import BoolArray, IndexArray
from fiqa_fast.evaluation.protocols.checks import name_some
from fiqa_fast.training.data import records
from fiqa_fast.training.data.base import SkippedSample, TrainingSet
from fiqa_fast.training.data.index_cache import Index, remembered_index
from fiqa_fast.training.data.pieces import Pieces
from fiqa_fast.types import FailureReason, UInt8Array

DEFAULT_FILE = "train.rec"
_EXACT_IN_FLOAT32 = 1 << 24
_NO_KEY = -1


def open_record_io(
    path: str | Path,
    *,
    name: str | None = None,
    damaged: Literal["error", "skip"] = "error",
    index_folder: Path | None = None,
) -> TrainingSet:
    """Reads the headers of all records, and nothing of the images.

    What decides which record holds an image is InsightFace's record 0, which has two labels and no
    image: the first says where the image records end, and records behind it describe identities.
    Without such a record every record is an image. Samples are named by their number in the index
    file. Where that file is missing, the records are searched for and take the numbers that they
    hold themselves.

    With the file `property` ("identities,height,width") an identity is its label; otherwise the
    labels are counted up from 0 in their order.

    Args:
        path: the .rec file, or the folder of a train.rec.
        name: of the data set; None: the name of the folder.
        damaged: what to do about records that cannot be images: an error that names them, or leave
            them out (`TrainingSet.skipped`).
        index_folder: see `remembered_index`.

    Raises:
        InvalidArgumentError: a file cannot be read or has another form; damaged records; the index
            lacks records that record 0 promises; labels beyond what `property` says.
    """
    path = Path(path)
    if path.is_dir():
        path = path / DEFAULT_FILE
    index_file, property_file = path.with_suffix(".idx"), path.with_name("property")
    data = _mapped(path)
    files = [path, index_file] if index_file.exists() else [path]
    index = remembered_index(
        files, lambda: _build(data, path, index_file if len(files) > 1 else None), index_folder
    )
    skipped = _damaged(index, path, damaged)
    sound = index["problem"] == records.SOUND
    labels = index["label"][sound].astype(np.int32)
    identity, identity_names = _identities(labels, property_file)
    return TrainingSet(
        name=name or path.parent.resolve().name,
        samples=_Numbers(index["key"][sound]),
        identity=identity,
        identity_names=identity_names,
        read=_RecordReader(path, index["offset"][sound], index["stored_bytes"][sound]),
        skipped=skipped,
    )


class _Numbers(Sequence[str]):
    """Numbers as names, made when they are asked for."""

    def __init__(self, numbers: npt.NDArray[np.int64]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> _Numbers: ...

    def __getitem__(self, index: int | slice) -> str | _Numbers:
        if isinstance(index, slice):
            return _Numbers(self._numbers[index])
        return str(self._numbers[index])


class _RecordReader:
    """The image of each record: int64 [S] offsets and lengths."""

    def __init__(
        self, path: Path, offset: npt.NDArray[np.int64], stored_bytes: npt.NDArray[np.int64]
    ) -> None:
        self._path, self._offset, self._stored_bytes = path, offset, stored_bytes
        self._pieces = Pieces([path])

    def __call__(self, position: int) -> bytes:
        offset = int(self._offset[position])
        stored = self._pieces.read(0, offset, int(self._stored_bytes[position]))
        content = records.join_parts(stored)
        if content is None or len(content) < records.IMAGE_HEADER.size:
            raise ImageError(
                FailureReason.CORRUPT_IMAGE,
                f"{self._path}: the record at offset {offset} is damaged since it was opened",
            )
        flag = records.IMAGE_HEADER.unpack_from(content)[0]
        return content[records.IMAGE_HEADER.size + 4 * flag :]


def _mapped(path: Path) -> UInt8Array:
    try:
        if path.stat().st_size == 0:
            raise InvalidArgumentError(
                f"training set: expected records in {path}, got an empty file; get it again"
            )
        return np.memmap(path, np.uint8, mode="r")
    except OSError as error:
        raise InvalidArgumentError(
            f"training set: expected a readable RecordIO file, got {path} ({error.strerror});"
            f" give a .rec file, or the folder of a {DEFAULT_FILE}"
        ) from error


def _build(data: UInt8Array, path: Path, index_file: Path | None) -> Index:
    """The records that are, or should be, images, by key."""
    if index_file is None:
        offset = records.find_records(data)
        table = records.read_headers(data, offset)
        key = _own_numbers(table)
    else:
        key, offset = _read_index(index_file)
        table = records.read_headers(data, offset)
    order = np.argsort(key, kind="stable")
    order = order[_is_image(key[order], _promised(key, table, index_file), table, order)]
    problem = table.problem[order]
    label = table.label[order]
    is_identity = (label >= 0) & (label < _EXACT_IN_FLOAT32) & (label == np.floor(label))
    problem[(problem == records.SOUND) & ~is_identity] = records.NO_IDENTITY
    problem[(problem == records.SOUND) & (table.image_bytes[order] == 0)] = records.NO_IMAGE
    return {
        "key": key[order],
        "offset": offset[order],
        "stored_bytes": table.stored_bytes[order],
        "label": label,
        "problem": problem,
    }


def _own_numbers(table: records.RecordTable) -> npt.NDArray[np.int64]:
    """The keys of records without an index file: their ids, or else their places in the file."""
    sound = table.problem == records.SOUND
    ids = table.record_id[sound]
    if len(np.unique(ids)) < len(ids) or (ids >= 1 << 63).any():
        return np.arange(len(sound), dtype=np.int64)
    key = np.full(len(sound), _NO_KEY, np.int64)
    key[sound] = ids.astype(np.int64)
    return key


def _read_index(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Keys and offsets; raises InvalidArgumentError for another form."""
    remedy = f"get it again, or delete it: the records are then searched for in {path.stem}.rec"
    try:
        rows = np.empty((0, 2), np.int64)
        if path.stat().st_size:
            rows = np.loadtxt(path, np.int64, ndmin=2)
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"training set: expected lines 'key<tab>offset' in {path}, got another form"
            f" ({error}); {remedy}"
        ) from error
    if rows.shape[1] != 2 or not len(rows):
        raise InvalidArgumentError(
            f"training set: expected lines 'key<tab>offset' in {path}, got {len(rows)} lines of"
            f" {rows.shape[1]} numbers; {remedy}"
        )
    key, offset = rows[:, 0].copy(), rows[:, 1].copy()
    values, counts = np.unique(key, return_counts=True)
    if len(values) < len(key) or values[0] < 0:
        wrong = values[(counts > 1) | (values < 0)]
        raise InvalidArgumentError(
            f"training set: expected each key of {path} once and none below 0, got"
            f" {name_some(map(str, wrong), len(wrong))} twice or negative; {remedy}"
        )
    return key, offset


def _promised(
    key: npt.NDArray[np.int64], table: records.RecordTable, index_file: Path | None
) -> int | None:
    """The key behind the last image, where record 0 says so exactly."""
    at = np.flatnonzero((key == 0) & _describes(table))
    if not len(at) or not 1 <= table.label[at[0]] < _EXACT_IN_FLOAT32:
        return None
    end = int(table.label[at[0]])
    present = np.count_nonzero((key >= 1) & (key < end))
    if index_file is not None and present < end - 1:
        raise InvalidArgumentError(
            f"training set: expected the {end - 1} images that record 0 promises in {index_file},"
            f" got {present}; it is not whole: get it again, or delete it so that the records are"
            " searched for"
        )
    return end


def _describes(table: records.RecordTable) -> BoolArray:
    """Records of numbers without an image: the set's, or an identity's."""
    is_sound = table.problem == records.SOUND
    describes: BoolArray = is_sound & (table.flag >= 2) & (table.image_bytes == 0)
    return describes


def _is_image(
    key: npt.NDArray[np.int64],
    end: int | None,
    table: records.RecordTable,
    order: npt.NDArray[np.intp],
) -> BoolArray:
    """Which records are images, or stand in the place of one; `key` is in that order already."""
    if end is None:
        return ~_describes(table)[order]
    is_image: BoolArray = ((key >= 1) & (key < end)) | (key == _NO_KEY)
    return is_image


def _damaged(
    index: Index, path: Path, damaged: Literal["error", "skip"]
) -> tuple[SkippedSample, ...]:
    wrong = np.flatnonzero(index["problem"] != records.SOUND)
    sentences = (_sentence(index, int(i)) for i in wrong)
    if len(wrong) and damaged == "error":
        raise InvalidArgumentError(
            f"training set: expected whole image records in {path}, got {len(wrong)} damaged:"
            f" {name_some(sentences, len(wrong))}; get the file again, or leave them out with"
            " damaged='skip'"
        )
    reason = FailureReason.CORRUPT_IMAGE
    return tuple(
        SkippedSample(_number(index, int(i)), reason, f"{path}: {sentence}")
        for i, sentence in zip(wrong, sentences, strict=True)
    )


def _number(index: Index, row: int) -> str:
    key = int(index["key"][row])
    return str(key) if key != _NO_KEY else f"at offset {index['offset'][row]}"


def _sentence(index: Index, row: int) -> str:
    key, offset = int(index["key"][row]), index["offset"][row]
    record = "a record" if key == _NO_KEY else f"record {key}"
    return f"{record} at offset {offset} ({records.PROBLEMS[index['problem'][row]]})"


def _identities(labels: IndexArray, property_file: Path) -> tuple[IndexArray, tuple[str, ...]]:
    count = _property(property_file)
    if count is None:
        distinct, identity = np.unique(labels, return_inverse=True)
        return identity.astype(np.int32), tuple(map(str, distinct))
    if len(labels) and labels.max() >= count:
        raise InvalidArgumentError(
            f"training set: expected labels below the {count} identities of {property_file}, got"
            f" {labels.max()}; correct that file, or delete it so that the labels are counted"
        )
    return labels, tuple(map(str, range(count)))


def _property(path: Path) -> int | None:
    """The number of identities; None without such a file."""
    try:
        text = path.read_text(encoding="utf-8").strip()
        count = int(text.split(",")[0])
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"training set: expected 'identities,height,width' in {path}, got {error}; correct"
            " that file, or delete it so that the labels are counted"
        ) from error
    return count
