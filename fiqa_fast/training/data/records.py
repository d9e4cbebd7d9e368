"""The layout of RecordIO files (dmlc-core), and of MXNet's image records in them.

A record is the magic number, a word with 3 bits of kind and 29 bits of length, the content, and
zeros up to a multiple of 4 bytes. Content that itself holds the magic number at such a multiple is
cut there into several parts, without that number, so that the file can be searched for it. The
content of an image record is a header (flag, label, id, id2), `flag` further float32 labels, and
the encoded image.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiqa_fast.types import UInt8Array

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
FRAME_BYTES = 8
IMAGE_HEADER = struct.Struct("<IfQQ")

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_LENGTH = (1 << 29) - 1
_CHUNK = 1 << 16
_SEARCHED_AT_ONCE = 1 << 20
_OF_FIRST_LABEL = FRAME_BYTES + IMAGE_HEADER.size
_READ_AT_ONCE = _OF_FIRST_LABEL + 4

PROBLEMS = (
    "",
    "it lies beyond the end of the file, or not at a multiple of 4 bytes",
    "it does not start with the magic number of RecordIO",
    "it ends beyond the end of the file",
    "it reaches into the next record",
    "its parts do not follow each other",
    "it is too short for an image record",
    "its label is no identity (an integer from 0 to 2147483647)",
    "it has no image",
)
"""What can be wrong with a record, by the numbers in `RecordTable.problem`."""

(
    SOUND,
    OUTSIDE,
    NO_MAGIC,
    TOO_LONG,
    OVERLAPS,
    BROKEN_PARTS,
    TOO_SHORT,
    NO_IDENTITY,
    NO_IMAGE,
) = range(len(PROBLEMS))


@dataclass(frozen=True)
class RecordTable:
    """What the headers of R records say.

    Attributes:
        stored_bytes: int64 [R]: from the record's offset to its end, padding left out.
        flag: uint32 [R]: number of further labels.
        label: float32 [R]: the only or the first label.
        record_id: uint64 [R].
        image_bytes: int64 [R]: what is left for the image.
        problem: uint8 [R]: position in `PROBLEMS`; the other columns hold only where it is 0.
    """

    stored_bytes: npt.NDArray[np.int64]
    flag: npt.NDArray[np.uint32]
    label: npt.NDArray[np.float32]
    record_id: npt.NDArray[np.uint64]
    image_bytes: npt.NDArray[np.int64]
    problem: UInt8Array


def find_records(data: UInt8Array) -> npt.NDArray[np.int64]:
    """Walks through a file from record to record.

    Where there is no record, either that place is damaged or the length of the record before it is
    wrong; sound content holds no magic number, so the walk goes on at the next one behind the start
    of the record before.

    Args:
        data: uint8 [n], the file, which may be a memory map.

    Returns:
        int64 [R], ascending: the offsets of the records, and of what is in the place of one.
    """
    offsets: list[int] = []
    position, before, view, size = 0, -4, data.data, len(data)
    inside = False  # a record of several parts
    unpack = struct.Struct("<II").unpack_from
    while position < size:
        magic, word = unpack(view, position) if position + FRAME_BYTES <= size else (0, 0)
        kind, end = word >> 29, position + FRAME_BYTES + (word & _LENGTH)
        if magic != MAGIC or end > size:
            next_record, inside = _next_magic(data, before + 4, position), False
            if next_record == position:
                offsets.append(position)
                next_record = _next_magic(data, position + 4, size)
            position = next_record
            continue
        if kind in (_WHOLE, _FIRST) or not inside:
            offsets.append(position)
        inside = kind == _FIRST or (inside and kind == _MIDDLE)
        before = position
        position = -(-end // 4) * 4
    return np.array(offsets, np.int64)


def read_headers(data: UInt8Array, offsets: npt.NDArray[np.int64]) -> RecordTable:
    """Reads the headers of all records, 65,536 at a time.

    Args:
        data: uint8 [n], the file, which may be a memory map.
        offsets: int64 [R], in any order.
    """
    count = len(offsets)
    order = np.argsort(offsets, kind="stable")
    table = RecordTable(
        stored_bytes=np.zeros(count, np.int64),
        flag=np.zeros(count, np.uint32),
        label=np.full(count, np.nan, np.float32),
        record_id=np.zeros(count, np.uint64),
        image_bytes=np.zeros(count, np.int64),
        problem=np.zeros(count, np.uint8),
    )
    for start in range(0, count, _CHUNK):
        _read_some(data, offsets, order[start : start + _CHUNK], table)
    _find_overlaps(offsets, order, table)
    return table


def join_parts(stored: bytes) -> bytes | None:
    """The content of a record from its bytes in the file; None where its parts are damaged."""
    parts: list[bytes] = []
    position = 0
    while True:
        if position + FRAME_BYTES > len(stored):
            return None
        magic, word = struct.unpack_from("<II", stored, position)
        start = position + FRAME_BYTES
        end = start + (word & _LENGTH)
        kind = word >> 29
        is_expected = kind in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST))
        if magic != MAGIC or not is_expected or end > len(stored):
            return None
        parts.append(stored[start:end])
        if kind in (_WHOLE, _LAST):
            return MAGIC_BYTES.join(parts)
        position = -(-end // 4) * 4


def _next_magic(data: UInt8Array, position: int, end: int) -> int:
    """The first multiple of 4 from `position` on at which a record may start; `end` if none."""
    whole = end // 4 * 4
    for start in range(position, whole, _SEARCHED_AT_ONCE):
        words = data[start : min(start + _SEARCHED_AT_ONCE, whole)].view("<u4")
        found = np.flatnonzero(words == MAGIC)
        if len(found):
            return start + 4 * int(found[0])
    return end


def _read_some(
    data: UInt8Array,
    offsets: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.intp],
    table: RecordTable,
) -> None:
    size = len(data)
    at = offsets[chosen]
    inside = (at >= 0) & (at + FRAME_BYTES <= size) & (at % 4 == 0)
    table.problem[chosen[~inside]] = OUTSIDE
    chosen, at = chosen[inside], at[inside]
    # At the end of the file fewer bytes may follow; what is read past it is never used, since the
    # record's own length is looked at first.
    places = np.minimum(at[:, None] + np.arange(_READ_AT_ONCE), size - 1)
    heads = np.ascontiguousarray(data[places])
    words = heads.view("<u4")
    length = (words[:, 1] & _LENGTH).astype(np.int64)
    kind = words[:, 1] >> 29
    has_magic = words[:, 0] == MAGIC
    content_bytes = length.copy()
    stored_bytes = length + FRAME_BYTES
    problem = np.where(has_magic, SOUND, NO_MAGIC).astype(np.uint8)
    problem[has_magic & (at + stored_bytes > size)] = TOO_LONG
    for i in np.flatnonzero((problem == SOUND) & (kind != _WHOLE)):
        content, stored = _content_of_parts(data, int(at[i]))
        if content is None:
            problem[i] = BROKEN_PARTS
            continue
        stored_bytes[i], content_bytes[i] = stored, len(content)
        start = content[: _READ_AT_ONCE - FRAME_BYTES]
        heads[i, FRAME_BYTES : FRAME_BYTES + len(start)] = np.frombuffer(start, np.uint8)
    flag = words[:, 2]
    image_bytes = content_bytes - IMAGE_HEADER.size - 4 * flag.astype(np.int64)
    problem[(problem == SOUND) & (image_bytes < 0)] = TOO_SHORT
    floats = heads.view("<f4")
    first = _OF_FIRST_LABEL // 4
    table.stored_bytes[chosen] = stored_bytes
    table.flag[chosen] = flag
    table.label[chosen] = np.where(flag > 0, floats[:, first], floats[:, 3])
    table.record_id[chosen] = np.ascontiguousarray(heads[:, 16:24]).view("<u8")[:, 0]
    table.image_bytes[chosen] = image_bytes
    table.problem[chosen] = problem


def _content_of_parts(data: UInt8Array, start: int) -> tuple[bytes | None, int]:
    """The content of a record of several parts, None where it is broken, and its stored bytes."""
    position, view = start, data.data
    while position + FRAME_BYTES <= len(data):
        magic, word = struct.unpack_from("<II", view, position)
        end = position + FRAME_BYTES + (word & _LENGTH)
        if magic != MAGIC or end > len(data):
            break
        if word >> 29 in (_WHOLE, _LAST):
            return join_parts(data[start:end].tobytes()), end - start
        position = -(-end // 4) * 4
    return None, 0


def _find_overlaps(
    offsets: npt.NDArray[np.int64], order: npt.NDArray[np.intp], table: RecordTable
) -> None:
    """A damaged length shows where a record would reach into the one behind it."""
    before, behind = order[:-1], order[1:]
    overlaps = offsets[before] + table.stored_bytes[before] > offsets[behind]
    # An offset that points into a record is itself the wrong one.
    overlaps &= ~np.isin(table.problem[behind], (OUTSIDE, NO_MAGIC))
    wrong = before[overlaps]
    table.problem[wrong[table.problem[wrong] == SOUND]] = OVERLAPS
