"""Labels of samples (qualities that a network shall learn), from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.checks import name_some
from fiqa_fast.evaluation.sample_names import SampleNames
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.checks import check_labels
from fiqa_fast.types import Float32Array

COLUMNS = ("sample", "label")


def read_labels(path: str | Path, training_set: TrainingSet) -> Float32Array:
    """Reads a label for each sample of a training set.

    Rows may come in any order, and those of other samples are passed over. A name fits a sample
    when it is equal, or ends with it behind a slash.

    Args:
        path: a .csv or .parquet file with the columns sample (text) and label (a number).
        training_set: whose samples they are.

    Returns:
        float32 [S], finite.

    Raises:
        InvalidArgumentError: the file cannot be read or has another form; a sample has no label or
            several; a label is not finite.
    """
    path = Path(path)
    table = _read(path)
    names = [str(name) for name in table["sample"].to_pylist()]
    values = table["label"].to_numpy()
    position = SampleNames(training_set.samples).find_all(names)
    known = position >= 0
    counts = np.bincount(position[known], minlength=training_set.count)
    if not known.any():
        raise InvalidArgumentError(
            f"labels: expected names such as {_first(training_set.samples)} in {path}, got none of"
            f" the samples of {training_set.name}, but such as {_first(names)}; name them as in the"
            " training set"
        )
    for wrong, what in ((counts == 0, "none for"), (counts > 1, "several for")):
        found = np.flatnonzero(wrong)
        if len(found):
            some = name_some((training_set.samples[int(i)] for i in found), len(found))
            raise InvalidArgumentError(
                f"labels: expected one label for each of the {training_set.count} samples of"
                f" {training_set.name} in {path}, got {what} {some}; give each one row"
            )
    labels = np.empty(training_set.count, np.float64)
    labels[position[known]] = values[known]
    return check_labels(training_set, labels)


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path, columns=list(COLUMNS))
            if not pa.types.is_string(table["sample"].type):
                table = table.set_column(0, "sample", pc.cast(table["sample"], pa.string()))
            return table.set_column(1, "label", pc.cast(table["label"], pa.float64()))
        # Names of digits alone stay text.
        types = {"sample": pa.string(), "label": pa.float64()}
        convert = pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=COLUMNS,
            null_values=["", "nan", "NaN", "NAN"],
            strings_can_be_null=False,
        )
        return pyarrow.csv.read_csv(path, convert_options=convert)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InvalidArgumentError(
            f"labels: expected a .csv or .parquet file with the columns sample,label, got {path}:"
            f" {error}; write one row for each sample"
        ) from error


def _first(names: object) -> str:
    return str(names[0]) if names else "(nothing)"  # type: ignore[index]
