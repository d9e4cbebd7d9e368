"""Columns of large text files, block by block, and numbers for the names in them.

A protocol may have 20 million lines: names become positions while they are read, and no line is
ever a Python object.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import IndexArray

TEXT, TRUTH = pa.large_string(), pa.bool_()
_TRUE, _FALSE = ["1", "true", "True", "TRUE"], ["0", "false", "False", "FALSE"]
_BLOCK_BYTES = 32 << 20  # all names that are known are hashed anew for each block


def read_header(path: Path) -> list[str]:
    """The names in the first line of a CSV file.

    Raises:
        InvalidArgumentError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, error) from error


def check_header(path: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises InvalidArgumentError unless each wanted column stands in the header once."""
    wrong = [name for name in wanted if header.count(name) != 1]
    if wrong:
        raise InvalidArgumentError(
            f"protocol: expected the columns {','.join(wanted)} in {path}, each once, got"
            f" {','.join(header) or 'an empty file'}; give it a header with {', '.join(wrong)}"
        )


def read_blocks(
    path: Path,
    columns: Mapping[str, Any],
    *,
    content: bytes | None = None,
    separator: str = ",",
    has_header: bool = True,
) -> Iterator[Any]:
    """Reads columns of a text file.

    Args:
        path: the file; for messages where its content is given.
        columns: Arrow type of each; without a header these are all columns in their order.
        content: of the file, where it had to be changed first.
        separator: one character.
        has_header: whether the first line names the columns. Values may be quoted only then.

    Yields:
        Arrow record batches.

    Raises:
        InvalidArgumentError: it cannot be read, or a value does not fit; the message names the row.
    """
    source = str(path) if content is None else pa.BufferReader(content)
    try:
        with pa_csv.open_csv(
            source,
            read_options=pa_csv.ReadOptions(
                use_threads=False,  # with threads, errors do not name the row
                block_size=_BLOCK_BYTES,
                column_names=None if has_header else list(columns),
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=separator, quote_char='"' if has_header else False
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict(columns),
                include_columns=list(columns),
                true_values=_TRUE,
                false_values=_FALSE,
                null_values=[],
            ),
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        if str(error).startswith("Empty CSV"):
            return
        raise InvalidArgumentError(
            f"protocol: expected {path} to have {' '.join(columns)} in every line"
            f" (mated as 0, 1, false or true), got: {error}; correct the line"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InvalidArgumentError:
    """The error for a file that cannot be opened or is no text."""
    return InvalidArgumentError(
        f"protocol: expected a readable text file, got {path}: {error}; check the path and that it"
        " is UTF-8"
    )


class Positions:
    """Gives each distinct value a position, in the order in which they are first seen.

    Args:
        kind: Arrow type of the values.
    """

    def __init__(self, kind: Any = TEXT) -> None:
        self._values = pa.array([], kind)

    def of(self, *columns: Any) -> list[IndexArray]:
        """Positions of the values in Arrow arrays, int32 each; new values get new ones."""
        encoded = pa.concat_arrays(columns).dictionary_encode()
        positions = pc.index_in(encoded.dictionary, value_set=self._values)
        is_new = positions.is_null()
        of_value = positions.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        new = of_value < 0
        of_value[new] = len(self._values) + np.arange(np.count_nonzero(new), dtype=np.int32)
        self._values = pa.concat_arrays([self._values, encoded.dictionary.filter(is_new)])
        all_positions = of_value[encoded.indices.to_numpy(zero_copy_only=False)]
        return np.split(all_positions, np.cumsum([len(column) for column in columns])[:-1])

    def known(self, column: Any) -> IndexArray:
        """Positions of values, int32; -1 for those that have none."""
        found = pc.index_in(column, value_set=self._values).fill_null(-1)
        return np.asarray(found.to_numpy(zero_copy_only=False), np.int32)

    def names(self, path: Path) -> tuple[str, ...]:
        """All values as text, in the order of their positions.

        Args:
            path: where they come from, for the message.

        Raises:
            InvalidArgumentError: one of them is empty.
        """
        names = tuple(map(str, self._values.to_pylist()))
        if "" in names:
            raise InvalidArgumentError(
                f"protocol: expected a name in every line of {path}, got an empty one; fill it in,"
                " or remove the line"
            )
        return names


def joined(parts: Sequence[Any], dtype: Any) -> Any:
    """Arrays of the blocks of a column as one."""
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def truth(column: Any) -> np.ndarray:
    """An Arrow column of bool as numpy's."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.bool_)
