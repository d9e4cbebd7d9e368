"""Checks what lies in a version folder: files, digests, shapes, provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fiqa_fast.calibration import read_calibrations
from fiqa_fast.engines.exported import load_exported
from fiqa_fast.engines.tensorrt.plan_file import read_plan
from fiqa_fast.errors import FiqaError, WeightsError
from fiqa_fast.provenance import Provenance
from fiqa_fast.serving import engine_file, preprocess_file, result_file, scorer_file
from fiqa_fast.serving.engine_file import EngineFile
from fiqa_fast.serving.preprocess_file import PreprocessFile
from fiqa_fast.serving.promise import PARAMETER, check_promise
from fiqa_fast.serving.repository.config import CROPS, FACE, IMAGE, OUTCOME, TensorSpec
from fiqa_fast.serving.repository.model_config import ServedConfig, Tensor
from fiqa_fast.serving.repository.settings import PREPROCESS_MODEL, RESULT_MODEL
from fiqa_fast.serving.result_file import ResultFile
from fiqa_fast.serving.scorer_file import ScorerFile
from fiqa_fast.serving.typed_record import read_record


def check_version(config: ServedConfig, folder: Path) -> Iterator[str]:
    """Checks one version of a model, but for ensembles, which have nothing in theirs.

    Args:
        config: of the model.
        folder: of the version.

    Yields:
        What is wrong.
    """
    if config.backend == "python" and not (folder / "model.py").exists():
        yield f"expected a file model.py in {folder}, found none"
    try:
        if config.name == PREPROCESS_MODEL:
            read_record(PreprocessFile, folder / preprocess_file.NAME)
            yield from _check_tensors("input", [IMAGE], config.inputs)
            crop = TensorSpec("crop", CROPS.kind, CROPS.dims)
            yield from _check_tensors("output", [crop, *FACE, *OUTCOME], config.outputs)
        elif config.name == RESULT_MODEL:
            file = read_record(ResultFile, folder / result_file.NAME)
            for name in file.calibrations:
                read_calibrations(folder / name)
        else:
            yield from _check_scorer(config, folder)
    except FiqaError as error:
        yield str(error)


def _check_scorer(config: ServedConfig, folder: Path) -> Iterator[str]:
    promised = Provenance.from_json(config.parameters.get(PARAMETER, ""))
    yield from _check_tensors("input", [CROPS], config.inputs)
    scores = TensorSpec("raw_score", "FP32", (len(promised.outputs),))
    yield from _check_tensors("output", [scores], config.outputs)
    if config.backend == "python":
        file = read_record(ScorerFile, folder / scorer_file.NAME)
        loaded = file.provenance(file.load(folder, "cpu"))
        # The server may run on another device than this check.
        check_promise(config.name, promised, replace(loaded, device=promised.device))
    else:
        _check_graph(config.name, promised, folder)


def _check_graph(model: str, promised: Provenance, folder: Path) -> None:
    """Raises FiqaError unless the exported graph is there and is the promised one."""
    file = read_record(EngineFile, folder / engine_file.NAME)
    graph = folder / file.graph
    if graph.suffix != ".plan":
        exported = load_exported(graph, threads=file.threads)
        check_promise(model, promised, exported.provenance, stands_in=file.stands_in)
        return
    made_by = read_plan(graph)[1].provenance  # only a GPU can load the plan itself
    if made_by is None:
        raise WeightsError(
            f"{model}: expected a plan that says which scorer it is, got {graph} without that;"
            " build the repository again with `fiqa-fast serve build-repo`"
        )
    check_promise(model, promised, made_by.on(promised.engine, promised.device))


def _check_tensors(
    direction: str, wanted: list[TensorSpec], found: dict[str, Tensor]
) -> Iterator[str]:
    for spec in wanted:
        tensor = Tensor(spec.kind, spec.dims)
        if found.get(spec.name) != tensor:
            yield f"expected the {direction} {spec.name} as {tensor}, got {found.get(spec.name)}"
