"""Finds what is wrong with a model repository before a server, or a client, does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fiqa_fast.errors import FiqaError, InvalidArgumentError
from fiqa_fast.serving import result_file
from fiqa_fast.serving.promise import PARAMETER
from fiqa_fast.serving.repository.check_version import check_version
from fiqa_fast.serving.repository.config import score_input
from fiqa_fast.serving.repository.model_config import (
    CONFIG_NAME,
    ServedConfig,
    Tensor,
    read_config,
)
from fiqa_fast.serving.repository.settings import RESULT_MODEL
from fiqa_fast.serving.result_file import ResultFile
from fiqa_fast.serving.typed_record import read_record


@dataclass(frozen=True)
class Finding:
    """Something wrong with a model (or, with the name "", with the repository)."""

    model: str
    problem: str

    def __str__(self) -> str:
        return f"{self.model}: {self.problem}" if self.model else self.problem


def check_repository(folder: Path) -> list[Finding]:
    """Checks every model of a repository, and what they say about each other.

    Configurations parse; version folders, models and weights are there; inputs and outputs have the
    shapes of the contract; every scorer is loaded once on the CPU and is what its configuration
    promises; the ensemble's steps fit together and its columns are those of its scorers.

    Returns:
        What is wrong; [] where nothing is.

    Raises:
        InvalidArgumentError: the folder does not exist.
        UnavailableError: tritonclient is not installed.
    """
    if not folder.is_dir():
        raise InvalidArgumentError(
            f"serve: expected a folder of models, got {folder}, which is none; fill one with"
            " `fiqa-fast serve build-repo`"
        )
    findings: list[Finding] = []
    configs: dict[str, ServedConfig] = {}
    for model in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        try:
            config = read_config(model / CONFIG_NAME)
        except InvalidArgumentError as error:
            findings.append(Finding(model.name, str(error)))
            continue
        configs[model.name] = config
        findings += [Finding(model.name, problem) for problem in _check_model(config, model)]
    if not configs and not findings:
        findings.append(Finding("", f"{folder} holds no model"))
    for name, config in configs.items():
        if config.backend == "ensemble":
            problems = _check_ensemble(config, configs, folder)
            findings += [Finding(name, problem) for problem in problems]
    return findings


def _check_model(config: ServedConfig, folder: Path) -> Iterator[str]:
    """What is wrong with one model by itself."""
    if config.name != folder.name:
        yield f"expected the name {folder.name} of its folder, got {config.name}"
    if config.max_batch_size < 1:
        yield f"expected max_batch_size of 1 or more, got {config.max_batch_size}"
    if not config.versions:
        yield "expected version_policy to name specific versions, got another"
    for version in config.versions:
        version_folder = folder / str(version)
        if not version_folder.is_dir():
            yield f"expected a folder {version}, found none"
        elif config.backend != "ensemble":
            yield from check_version(config, version_folder)


def _check_ensemble(
    config: ServedConfig, configs: dict[str, ServedConfig], folder: Path
) -> Iterator[str]:
    """What is wrong with the way in which an ensemble puts models together."""
    known = dict(config.inputs)
    for step in config.steps:
        model = configs.get(step.model)
        if model is None:
            yield f"expected a model {step.model}, which a step names, found none"
            continue
        for name in model.inputs.keys() - step.inputs.keys() - model.optional:
            yield f"expected the step {step.model} to fill its input {name}, got nothing for it"
        for name, source in step.inputs.items():
            yield from _check_link(
                f"{step.model}.{name}", model.inputs.get(name), known.get(source)
            )
        for name, target in step.outputs.items():
            if name not in model.outputs:
                yield f"expected an output {name} of {step.model}, found none"
            else:
                known[target] = model.outputs[name]
    for name, tensor in config.outputs.items():
        yield from _check_link(name, tensor, known.get(name))
    yield from _check_columns(config, configs, folder)


def _check_link(name: str, wanted: Tensor | None, given: Tensor | None) -> Iterator[str]:
    if wanted != given:
        yield f"expected {name} to be {given or 'nothing'}, which comes there, got {wanted}"


def _check_columns(
    config: ServedConfig, configs: dict[str, ServedConfig], folder: Path
) -> Iterator[str]:
    """Whether clients are told what `fiqa_result` really puts into each column."""
    result = configs.get(RESULT_MODEL)
    if result is None or not result.versions:
        return
    path = folder / RESULT_MODEL / str(result.versions[0]) / result_file.NAME
    try:
        columns = read_record(ResultFile, path).columns
        told = json.loads(config.parameters.get(PARAMETER, ""))
    except (FiqaError, ValueError) as error:
        yield f"expected readable columns in {path} and in the parameter {PARAMETER}, got: {error}"
        return
    wanted = [
        {"model": c.model, "output": c.output, "provenance": json.loads(c.provenance.to_json())}
        for c in columns
    ]
    if told != wanted:
        yield f"expected the columns of {path} in the parameter {PARAMETER}, got others"
    for column in columns:
        model = configs.get(column.model)
        if model is None:
            continue  # told already: a step names it
        if model.parameters.get(PARAMETER) != column.provenance.to_json():
            yield f"expected the provenance of {column.model} in its column, got another"
        if score_input(column.model) not in result.inputs:
            yield f"expected an input {score_input(column.model)} of {RESULT_MODEL}, found none"
        outputs = column.provenance.outputs
        if outputs[column.position : column.position + 1] != (column.output,):
            yield (
                f"expected {column.output} at column {column.position} of {column.model}, got"
                f" {', '.join(outputs)}"
            )
