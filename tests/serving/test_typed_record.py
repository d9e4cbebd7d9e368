import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.serving.typed_record import parse_record, read_record, record_text


@dataclass(frozen=True)
class Inner:
    count: int = 1


@dataclass(frozen=True)
class Outer:
    name: str
    ratio: float = 0.5
    on: bool = False
    colour: Literal["red", "green"] = "red"
    file: Path | None = None
    bounds: tuple[float, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    more: tuple[Inner, ...] = ()


def test_takes_every_kind_of_value():
    content = {
        "name": "a",
        "ratio": 2,
        "on": True,
        "colour": "green",
        "file": "sub/f.txt",
        "bounds": [1, 2.5],
        "options": {"k": [1, "x"]},
        "inner": {"count": 3},
        "more": [{}, {"count": 2}],
    }
    assert parse_record(Outer, content, folder=Path("/base")) == Outer(
        name="a",
        ratio=2,
        on=True,
        colour="green",
        file=Path("/base/sub/f.txt"),
        bounds=(1, 2.5),
        options={"k": [1, "x"]},
        inner=Inner(3),
        more=(Inner(1), Inner(2)),
    )
    assert parse_record(Outer, {"name": "a", "file": None}) == Outer("a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": "a"}, r"one of name, ratio, .*got 'nmae'"),
        ({"ratio": "much"}, r"expected ratio to be a number, got 'much'"),
        ({"ratio": True}, r"expected ratio to be a number"),
        ({"name": 3}, r"expected name to be text, got 3"),
        ({"on": "yes"}, r"expected on to be true or false"),
        ({"colour": "blue"}, r"expected colour to be one of red, green, got 'blue'"),
        ({"file": 3}, r"expected file to be the path of a file"),
        ({"bounds": 3}, r"expected bounds to be a list"),
        ({"bounds": [1, "x"]}, r"expected bounds\[1\] to be a number"),
        ({"options": [1]}, r"expected options to be a mapping"),
        ({"options": {1: 2}}, r"expected options to be a mapping"),
        ({"inner": 1}, r"expected inner to be a mapping"),
        ({"inner": {"count": 1.5}}, r"expected inner.count to be a whole number"),
        ({"inner": {"cuont": 1}}, r"a key of inner \(one of count\), got 'cuont'"),
        ({"more": [{"count": None}]}, r"expected more\[0\].count to be a whole number, got None"),
    ],
)
def test_names_what_is_wrong(changes, message):
    with pytest.raises(InvalidArgumentError, match=message):
        parse_record(Outer, {"name": "a", **changes})


def test_names_what_is_missing():
    with pytest.raises(InvalidArgumentError, match="expected the key name, found none"):
        parse_record(Outer, {})
    with pytest.raises(InvalidArgumentError, match="the file to be a mapping"):
        parse_record(Outer, ["name"])


def test_files_come_back_and_damaged_ones_are_told(tmp_path):
    record = Outer("ä", bounds=(1.5,), more=(Inner(2),), options={"a": 1})
    path = tmp_path / "record.json"
    path.write_text(record_text(record))
    assert read_record(Outer, path) == record
    for text in ("{", "[]", json.dumps({"name": "a", "new": 1})):
        path.write_text(text)
        with pytest.raises(WeightsError, match=r"record.json.*build the repository again"):
            read_record(Outer, path)
    path.unlink()
    with pytest.raises(WeightsError, match=r"record.json.*No such file"):
        read_record(Outer, path)
