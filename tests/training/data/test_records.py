import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from fiqa_fast.training.data.records import (
    BROKEN_PARTS,
    NO_MAGIC,
    OUTSIDE,
    OVERLAPS,
    SOUND,
    TOO_LONG,
    TOO_SHORT,
    find_records,
    join_parts,
    read_headers,
)

MAGIC = b"\x0a\x23\xd7\xce"
CONTENT = st.lists(st.sampled_from([MAGIC, b"\0", b"abcd", b"\x0a\x23", b""]), max_size=12).map(
    b"".join
)


@given(contents=st.lists(CONTENT, min_size=1, max_size=6))
def test_whatever_was_written_is_read(contents, frame):
    framed = [frame(content) for content in contents]
    data = np.frombuffer(b"".join(framed), np.uint8)
    offsets = find_records(data)
    assert offsets.tolist() == np.cumsum([0, *map(len, framed[:-1])]).tolist()
    assert [join_parts(stored) for stored in framed] == contents


@given(
    images=st.lists(CONTENT, min_size=1, max_size=6),
    labels=st.lists(st.floats(-5, 9, width=32), min_size=0, max_size=3),
)
def test_headers_say_what_was_written(images, labels, frame, pack):
    framed = [frame(pack(labels or 7, i, image)) for i, image in enumerate(images)]
    offsets = np.cumsum([0, *map(len, framed[:-1])])
    found = read_headers(np.frombuffer(b"".join(framed), np.uint8), offsets)
    assert found.problem.tolist() == [SOUND] * len(images)
    assert found.record_id.tolist() == list(range(len(images)))
    assert found.image_bytes.tolist() == list(map(len, images))
    assert set(found.flag.tolist()) == {len(labels)}
    assert set(found.label.tolist()) == {labels[0] if labels else 7}
    for stored, size, image in zip(framed, found.stored_bytes, images, strict=True):
        assert join_parts(stored[:size])[24 + 4 * len(labels) :] == image


@given(damage=st.binary(max_size=80), at=st.integers(0, 400))
def test_damage_never_costs_a_sound_record_behind_it(damage, at, frame, pack):
    framed = [frame(pack(i, i, bytes([i + 1]) * (10 + 7 * i))) for i in range(8)]
    starts = np.cumsum([0, *map(len, framed)])
    whole = b"".join(framed)
    # In place: what lies behind keeps its offsets, as in a file with damaged blocks.
    damage = damage[: max(len(whole) - at, 0)]
    data = np.frombuffer(whole[:at] + damage + whole[at + len(damage) :], np.uint8)
    touched = data.tobytes()[max(at - 3, 0) : at + len(damage) + 3]
    offsets = find_records(data)
    damaged_heads = offsets[(offsets > at - 8) & (offsets < at + len(damage))]
    reached = {_end(data, int(offset)) for offset in damaged_heads}
    # A length that leads to a later record, or a magic number out of nothing, cannot be seen.
    assume(MAGIC not in touched and not reached & set(starts[starts > at + len(damage)].tolist()))
    found = set(offsets[read_headers(data, offsets).problem == SOUND].tolist())
    assert {int(start) for start in starts[:-1] if start >= at + len(damage)} <= found


def _end(data, offset):
    length = int.from_bytes(data[offset + 4 : offset + 8].tobytes(), "little") & ((1 << 29) - 1)
    return offset + 8 + -(-length // 4) * 4


def test_each_kind_of_damage_is_told(frame, pack):
    def problems(data, offsets):
        return read_headers(np.frombuffer(data, np.uint8), np.array(offsets)).problem.tolist()

    one, two = frame(pack(0, 1, b"image one")), frame(pack(0, 2, b"image two"))
    second = len(one)
    assert problems(one + two, [0, second]) == [SOUND, SOUND]
    assert problems(one + two, [second, 0]) == [SOUND, SOUND]
    assert problems(one + two, [0, 2 * second]) == [SOUND, OUTSIDE]
    assert problems(one + two, [0, second + 2]) == [SOUND, OUTSIDE]
    assert problems(one + two, [0, -4]) == [SOUND, OUTSIDE]
    assert problems(one + two, [0, second - 4]) == [SOUND, NO_MAGIC]
    assert problems((one + two)[:-5], [0, second]) == [SOUND, TOO_LONG]
    longer = one[:4] + bytes([one[4] + 8]) + one[5:]
    assert problems(longer + two, [0, second]) == [OVERLAPS, SOUND]
    assert problems(frame(b"short") + one, [0, 16]) == [TOO_SHORT, SOUND]
    assert problems(frame(pack([1.0] * 9, 1, b"")[:-4]) + one, [0]) == [TOO_SHORT]
    parts = frame(pack(0, 1, b"1234" + MAGIC + b"5678"))
    broken = bytearray(parts)
    broken[broken.rindex(MAGIC) + 7] = 0  # the last part says that it is a whole record
    assert problems(parts, [0]) == [SOUND]
    assert problems(bytes(broken), [0]) == [BROKEN_PARTS]
    assert problems(parts[:-12], [0]) == [BROKEN_PARTS]


def test_the_walk_goes_on_behind_damage(frame, pack):
    framed = [frame(pack(0, i, bytes(20))) for i in range(4)]
    data = bytearray(b"".join(framed))
    second, third = len(framed[0]), 2 * len(framed[0])
    data[second : second + 4] = b"\0\0\0\0"
    found = find_records(np.frombuffer(bytes(data[:-2]), np.uint8))
    assert found.tolist() == [0, second, third, 3 * second]
    data[third + 4] += 8  # a length that leads into the next record
    found = find_records(np.frombuffer(bytes(data), np.uint8))
    assert found.tolist() == [0, second, third, 3 * second]
