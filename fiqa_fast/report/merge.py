"""Several runs as one: evaluations and tables of scores, with names that stay apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from fiqa_fast.evaluation.result import EvaluationResult

_Record = TypeVar("_Record")


@dataclass(frozen=True)
class _Renaming:
    """How the names of one run read beside those of the others."""

    run: str
    shared: frozenset[str]

    def __call__(self, method: str) -> str:
        return f"{method} ({self.run})" if method in self.shared else method

    def all(self, methods: Iterable[str]) -> tuple[str, ...]:
        return tuple(self(method) for method in methods)


def merge_results(runs: Mapping[str, EvaluationResult], title: str) -> EvaluationResult:
    """Puts evaluations together. A method that several of them have gets the run's name beside it.

    Records that are the same in two runs (error rates of one network, say) stand there once;
    those of one data set that differ get the run's name too.

    Args:
        runs: each run's evaluation by the name of the run.
        title: of the whole.
    """
    if len(runs) == 1:
        (only,) = runs.values()
        return replace(only, title=title)
    used = Counter(method for result in runs.values() for method in _methods(result))
    shared = frozenset(method for method, count in used.items() if count > 1)
    renamed = {run: _rename(result, _Renaming(run, shared)) for run, result in runs.items()}

    everything = renamed.values()
    return EvaluationResult(
        title=title,
        settings=_merge_settings({run: result.settings for run, result in runs.items()}),
        notes=_merge_notes({run: result.notes for run, result in runs.items()}),
        curves=tuple(record for result in everything for record in result.curves),
        distributions=tuple(record for result in everything for record in result.distributions),
        paired_tests=tuple(record for result in everything for record in result.paired_tests),
        runtimes=tuple(record for result in everything for record in result.runtimes),
        ladder=tuple(record for result in everything for record in result.ladder),
        label_changes=tuple(record for result in everything for record in result.label_changes),
        error_rates=_tell_apart(
            {run: one.error_rates for run, one in renamed.items()},
            key=lambda record: (record.data_set, record.verification_network),
            name=lambda record, run: replace(
                record, verification_network=f"{record.verification_network} ({run})"
            ),
        ),
        agreements=_tell_apart(
            {run: one.agreements for run, one in renamed.items()},
            key=lambda record: record.data_set,
            name=lambda record, run: replace(record, data_set=f"{record.data_set} ({run})"),
        ),
        templates=_tell_apart(
            {run: one.templates for run, one in renamed.items()},
            key=lambda record: (record.data_set, record.verification_network, record.weighting),
            name=lambda record, run: replace(
                record, weighting=f"{record.weighting or 'no weighting'} ({run})"
            ),
        ),
    )


def merge_tables(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Puts tables of scores together; an output that several have gets the run's name beside it."""
    used = Counter(
        output for table in tables.values() for output in sorted(_outputs(table), key=repr)
    )
    merged = []
    for run, table in tables.items():
        for scorer, output in _outputs(table):
            if used[scorer, output] < 2:
                continue
            column, old = ("scorer", scorer) if output == "score" else ("output", output)
            rows = pc.and_(pc.equal(table["scorer"], scorer), pc.equal(table["output"], output))
            new = pc.if_else(rows, f"{old} ({run})", table[column])
            table = table.set_column(table.column_names.index(column), column, new)
        merged.append(table)
    return pa.concat_tables(merged, promote_options="permissive")


def _outputs(table: pa.Table) -> list[tuple[str, str]]:
    if not {"scorer", "output"} <= set(table.column_names):
        return []  # the reader of the table says what is wrong with it
    distinct = table.select(["scorer", "output"]).group_by(["scorer", "output"]).aggregate([])
    pairs = zip(distinct["scorer"].to_pylist(), distinct["output"].to_pylist(), strict=True)
    return [(scorer, output) for scorer, output in pairs if scorer and output]


def _methods(result: EvaluationResult) -> set[str]:
    """Every quality method that some record names."""
    names = {curve.method for curve in result.curves}
    names |= {record.method for record in result.distributions}
    names |= {record.method for record in result.runtimes}
    names |= {record.method for record in result.ladder}
    names |= {record.weighting for record in result.templates}
    for agreement in result.agreements:
        names |= set(agreement.methods)
    for test in result.paired_tests:
        names |= {test.method_a, test.method_b}
    for change in result.label_changes:
        names |= {change.before, change.after}
    return names - {""}


def _rename(result: EvaluationResult, new: _Renaming) -> EvaluationResult:
    return replace(
        result,
        curves=tuple(replace(r, method=new(r.method)) for r in result.curves),
        distributions=tuple(replace(r, method=new(r.method)) for r in result.distributions),
        agreements=tuple(replace(r, methods=new.all(r.methods)) for r in result.agreements),
        paired_tests=tuple(
            replace(r, method_a=new(r.method_a), method_b=new(r.method_b))
            for r in result.paired_tests
        ),
        templates=tuple(replace(r, weighting=new(r.weighting)) for r in result.templates),
        runtimes=tuple(replace(r, method=new(r.method)) for r in result.runtimes),
        ladder=tuple(replace(r, method=new(r.method)) for r in result.ladder),
        label_changes=tuple(
            replace(r, before=new(r.before), after=new(r.after)) for r in result.label_changes
        ),
    )


def _tell_apart(
    records: Mapping[str, Sequence[_Record]],
    *,
    key: Callable[[_Record], Hashable],
    name: Callable[[_Record, str], _Record],
) -> tuple[_Record, ...]:
    """The distinct records; those with one key and different content get the name of their run."""
    distinct: dict[Hashable, list[_Record]] = {}
    for of_run in records.values():
        for record in of_run:
            alike = distinct.setdefault(key(record), [])
            if record not in alike:
                alike.append(record)
    told_apart: list[_Record] = []
    for run, of_run in records.items():
        for record in of_run:
            one = name(record, run) if len(distinct[key(record)]) > 1 else record
            if one not in told_apart:
                told_apart.append(one)
    return tuple(told_apart)


def _merge_settings(settings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What all runs say alike once, everything else with the name of the run."""
    merged: dict[str, str] = {}
    for name in dict.fromkeys(name for of_run in settings.values() for name in of_run):
        values = {run: of_run[name] for run, of_run in settings.items() if name in of_run}
        alike = len(values) == len(settings) and len(set(values.values())) == 1
        merged[name] = (
            next(iter(values.values()))
            if alike
            else "; ".join(f"{run}: {value}" for run, value in values.items())
        )
    return merged


def _merge_notes(notes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    merged: list[str] = []
    for note in dict.fromkeys(note for of_run in notes.values() for note in of_run):
        runs = [run for run, of_run in notes.items() if note in of_run]
        everywhere = len(runs) == len(notes)
        merged.append(note if everywhere else f"{', '.join(runs)}: {note}")
    return tuple(merged)
