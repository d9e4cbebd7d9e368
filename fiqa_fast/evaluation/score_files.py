"""Scores of samples, read from the files in which people have them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.sample_names import SampleNames
from fiqa_fast.evaluation.sample_scores import methods_of_table
from fiqa_fast.results import SCHEMA, read_csv
from fiqa_fast.scorers.registry import list_scorers


def read_scores(
    path: Path, protocol: Protocol | TemplateProtocol, lower_is_better: Sequence[str] = ()
) -> list[MethodScores]:
    """Scores of samples from a file.

    Either a table of `fiqa-fast score` (.parquet or .csv); or a CSV file (comma or semicolon) whose
    first column names the sample and whose others are methods, one score each; or text with a
    sample and a score in each line, as many papers' scripts write it: then the file's name names
    the method. Empty fields and "nan" are samples without a score.

    Args:
        path: the file.
        protocol: whose samples they are.
        lower_is_better: methods whose lower scores are better. Registered methods know it.

    Raises:
        InvalidArgumentError: the file cannot be read or is of another form; a line is wrong; a
            sample stands there twice; none is a sample of the protocol.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return methods_of_table(pq.read_table(path), protocol, str(path))
        lines = [x for x in path.read_text(encoding="utf-8-sig").splitlines() if x.strip()]
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InvalidArgumentError(
            f"evaluate: expected a readable file of scores, got {path}: {error};"
            " give scores.parquet of `fiqa-fast score`, or a CSV file"
        ) from error
    if lines and lines[0].split(",") == SCHEMA.names:
        table = pa.Table.from_pylist(list(read_csv(path)), schema=SCHEMA)
        return methods_of_table(table, protocol, str(path))
    names = SampleNames(protocol.samples)
    return [
        MethodScores(
            method=method,
            quality_network="",
            higher_is_better=_polarity(method, lower_is_better),
            raw_scores=_of_samples(names, samples, values, path),
        )
        for method, (samples, values) in _columns(lines, path).items()
    ]


def _columns(lines: list[str], path: Path) -> dict[str, tuple[list[str], list[float]]]:
    """For each method its samples and scores."""
    if not lines:
        raise InvalidArgumentError(
            f"evaluate: expected scores in {path}, got an empty file; give a line for each sample"
        )
    delimiter = next((d for d in (",", ";", "\t") if d in lines[0]), None)
    if delimiter is None:
        parts = [line.rpartition(" ") for line in lines]
        return {path.stem: _parsed([(sample.strip(), value) for sample, _, value in parts], path)}
    rows = list(csv.reader(lines, delimiter=delimiter))
    methods = [name.strip() for name in rows[0][1:]]
    if not methods or any(_number(name) is not None for name in methods):
        raise InvalidArgumentError(
            f"evaluate: expected a header line such as sample,method in {path}, got"
            f" {lines[0]!r}; name the columns"
        )
    return {
        method: _parsed([(r[0], r[n] if n < len(r) else "") for r in rows[1:]], path, first=2)
        for n, method in enumerate(methods, start=1)
    }


def _parsed(
    pairs: Sequence[tuple[str, str]], path: Path, first: int = 1
) -> tuple[list[str], list[float]]:
    values = []
    for line, (sample, text) in enumerate(pairs, start=first):
        value = math.nan if not text.strip() else _number(text)
        if value is None or not sample:
            raise InvalidArgumentError(
                f"evaluate: expected a sample and a number in line {line} of {path}, got"
                f" {sample!r} and {text!r}; correct the line"
            )
        values.append(value)
    return [sample for sample, _ in pairs], values


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _of_samples(
    names: SampleNames, samples: list[str], values: list[float], path: Path
) -> np.ndarray:
    position = names.find_all(samples)
    known = position >= 0
    if not known.any():
        raise InvalidArgumentError(
            f"evaluate: expected names such as {names.samples[0]} in {path}, got none of the"
            f" samples, but such as {samples[0] if samples else '(nothing)'}; name them as in the"
            " protocol"
        )
    if len(np.unique(position[known])) < np.count_nonzero(known):
        counts = np.bincount(position[known])
        raise InvalidArgumentError(
            f"evaluate: expected each sample once in {path}, got"
            f" {names.samples[int(counts.argmax())]} {counts.max()} times; keep one of its scores"
        )
    scores = np.full(len(names.samples), np.nan)
    scores[position[known]] = np.asarray(values)[known]
    return scores


def _polarity(method: str, lower_is_better: Sequence[str]) -> bool:
    if method in lower_is_better:
        return False
    registered: Mapping[str, bool] = {s.name: s.higher_is_better for s in list_scorers()}
    return registered.get(method.partition("/")[0], True)
