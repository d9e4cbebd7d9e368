"""The scores of a protocol's samples: made, and taken from a table of scores."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.inputs import MethodScores
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.result import RuntimeRecord
from fiqa_fast.evaluation.sample_names import SampleNames
from fiqa_fast.pipeline import FaceFinder, Source, score_stream
from fiqa_fast.results import ResultsWriter, stored_path
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.types import AlignedFace, FailedImage

_COLUMNS = ("path", "status", "scorer", "output", "raw_score", "higher_is_better", "backbone")


def score_samples(
    protocol: Protocol | TemplateProtocol,
    scorers: Sequence[Scorer],
    writer: ResultsWriter,
    *,
    finder: FaceFinder,
    all_outputs: bool = False,
) -> Iterator[int]:
    """Scores the samples that the writer's table has no rows of yet.

    The column `path` holds the path of a sample's image, or the sample's name where the image is no
    file of its own. Samples without a face become rows with the reason.

    Args:
        protocol: with its images.
        scorers: the methods.
        writer: of the table, entered.
        finder: how faces are found.
        all_outputs: every output of each scorer instead of its chosen one.

    Yields:
        How many samples are done, first those that were before.
    """
    paths = [
        name if isinstance(source, bytes | np.ndarray) else os.fspath(source)
        for name, source in zip(protocol.samples, protocol.sources, strict=True)
    ]
    todo = [n for n, path in enumerate(paths) if stored_path(path) not in writer.finished_paths]
    done = len(paths) - len(todo)
    yield done
    sources = (protocol.sources[n] for n in todo)
    rows = score_stream(
        sources,
        scorers,
        finder=_OfSamples(None, inner=finder, samples=todo),
        all_outputs=all_outputs,
    )
    for number, of_sample in zip(todo, rows, strict=True):
        writer.write_image([replace(row, path=paths[number]) for row in of_sample])
        done += 1
        yield done


@dataclass(frozen=True)
class _OfSamples(FaceFinder):
    """Finds faces by the position of the sample rather than that among those still to score."""

    inner: FaceFinder = field(default_factory=FaceFinder)
    samples: Sequence[int] = ()

    def find(self, source: Source, number: int = 0) -> list[AlignedFace] | FailedImage:
        return self.inner.find(source, self.samples[number])


def methods_of_table(
    table: pa.Table, protocol: Protocol | TemplateProtocol, name: str
) -> list[MethodScores]:
    """The scores in a table of `fiqa-fast score`, by method.

    Args:
        table: with the columns of `fiqa_fast.results.SCHEMA`; rows of other images are ignored.
        protocol: whose samples they are.
        name: of the table, for messages.

    Raises:
        InvalidArgumentError: columns are missing, none of its images is a sample of the protocol,
            or a sample has several faces.
    """
    missing = [column for column in _COLUMNS if column not in table.column_names]
    if missing:
        raise InvalidArgumentError(
            f"evaluate: expected a table of `fiqa-fast score`, got {name} without the columns"
            f" {', '.join(missing)}; score the images again with this version"
        )
    paths = table["path"].combine_chunks().dictionary_encode()
    position = SampleNames(protocol.samples).find_all(paths.dictionary.to_pylist())
    of_row = position[np.asarray(paths.indices)]
    if not (of_row >= 0).any():
        raise InvalidArgumentError(
            f"evaluate: expected scores of samples of {protocol.name}, such as"
            f" {protocol.samples[0]}, got none in {name}, whose images are such as"
            f" {paths.dictionary[0].as_py() if len(paths.dictionary) else '(no rows)'};"
            " score the images of this data set"
        )
    raw = np.asarray(table["raw_score"].cast(pa.float64()).fill_null(math.nan), dtype=np.float64)
    usable = np.asarray(pc.equal(table["status"], "ok").fill_null(False)) & (of_row >= 0)
    keys = list(zip(*(table[c].to_pylist() for c in ("scorer", "output", "backbone")), strict=True))
    first: dict[tuple[str, str, str], int] = {}
    code = np.asarray([first.setdefault(key, len(first)) for key in keys])
    polarity = table["higher_is_better"].to_pylist()
    methods = []
    for number, (scorer, output, network) in enumerate(first):
        rows = np.flatnonzero(usable & (code == number))
        scores = np.full(len(protocol.samples), np.nan)
        scores[of_row[rows]] = raw[rows]
        if len(np.unique(of_row[rows])) < len(rows):
            raise InvalidArgumentError(
                f"evaluate: expected one face of each sample, got several scores of {scorer} for"
                f" one in {name}; score with --faces largest, once"
            )
        members = np.flatnonzero(code == number)
        methods.append(
            MethodScores(
                method=scorer if output == "score" else f"{scorer}/{output}",
                quality_network=network or "",
                higher_is_better=bool(polarity[members[0]]),
                raw_scores=scores,
            )
        )
    return _with_names_of_their_own(methods)


def runtimes_of_table(table: pa.Table) -> list[RuntimeRecord]:
    """What a face cost each method, median over the rows that have a time."""
    grouped = (
        table.filter(pc.is_valid(table["elapsed_ms"]))
        .group_by(["scorer", "backbone", "device", "precision", "engine"], use_threads=False)
        .aggregate([("elapsed_ms", "list")])
    )
    return [
        RuntimeRecord(
            method=row["scorer"],
            network=row["backbone"],
            ms_per_face=float(np.median(row["elapsed_ms_list"])),
            device=row["device"],
            precision=row["precision"],
            engine=row["engine"],
        )
        for row in grouped.to_pylist()
    ]


def _with_names_of_their_own(methods: Sequence[MethodScores]) -> list[MethodScores]:
    """The network beside the name where one method ran on several."""
    names = [method.method for method in methods]
    return [
        replace(m, method=f"{m.method} ({m.quality_network})") if names.count(m.method) > 1 else m
        for m in methods
    ]
