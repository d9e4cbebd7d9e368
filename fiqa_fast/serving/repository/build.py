"""Fills a model repository: configurations, thin model files, weights, engines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fiqa_fast.calibration import read_calibrations
from fiqa_fast.errors import ResultsError
from fiqa_fast.provenance import Provenance
from fiqa_fast.serving import preprocess_file, result_file
from fiqa_fast.serving.preprocess_file import PreprocessFile
from fiqa_fast.serving.repository.config import (
    ModelConfig,
    ensemble_config,
    preprocess_config,
    render,
    result_config,
    scorer_config,
)
from fiqa_fast.serving.repository.model_config import CONFIG_NAME
from fiqa_fast.serving.repository.place import place
from fiqa_fast.serving.repository.scorer_folder import PythonFolder, scorer_folder
from fiqa_fast.serving.repository.settings import RepositorySettings, ScorerSettings
from fiqa_fast.serving.result_file import ResultColumn, ResultFile
from fiqa_fast.serving.typed_record import record_text

_Write = Callable[[Path], None]


@dataclass(frozen=True)
class _Model:
    """A model to be written: its configuration, and what fills its version folder.

    Attributes:
        config: the configuration.
        write_settings: writes what is small and can be compared.
        write_data: writes weights and graphs.
    """

    config: ModelConfig
    write_settings: _Write
    write_data: _Write = lambda folder: None


def build_repository(
    settings: RepositorySettings,
    folder: Path,
    *,
    overwrite: bool = False,
    without_data: bool = False,
    stands_in: bool = False,
) -> list[str]:
    """Fills a folder with models that Triton loads.

    Args:
        settings: from `read_settings`.
        folder: is made where it does not exist. Models that are there already keep their other
            versions.
        overwrite: replace versions that are there already. A server that has loaded them may go on
            answering from its response cache, which goes by name and version of a model: rather
            choose another `version`, or start the server again.
        without_data: leave out weights and graphs, which are built where they will run.
        stands_in: with `device: gpu`, for a test of its configurations on a machine without one:
            scorers run on the CPU, OpenVINO in the place of TensorRT.

    Returns:
        The names of the models.

    Raises:
        ResultsError: a version folder exists, and is not to be overwritten, or cannot be written.
        FiqaError: a scorer or a calibration cannot be loaded, or a graph not be exported.
    """
    models = _models(settings, stands_in=stands_in)
    targets = [folder / model.config.name / str(settings.version) for model in models]
    for target in targets:
        if target.exists() and not overwrite:
            raise ResultsError(
                f"serve: expected a repository without {target}, which exists; choose another"
                " `version`, or replace it with --overwrite"
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fiqa-", dir=folder.parent) as staging:
            # All or nothing: graphs take minutes, and may fail.
            for model in models:
                _write(model, Path(staging), settings, without_data=without_data)
            for model in models:
                _replace(Path(staging) / model.config.name, folder, settings.version)
    except OSError as error:
        raise ResultsError(
            f"serve: expected to be able to write {folder}, got {error}; choose another folder"
        ) from error
    return [model.config.name for model in models]


def _write(
    model: _Model, folder: Path, settings: RepositorySettings, *, without_data: bool
) -> None:
    version = folder / model.config.name / str(settings.version)
    version.mkdir(parents=True)
    model.write_settings(version)
    if not without_data:
        model.write_data(version)
    text = render(model.config, settings)
    (version.parent / CONFIG_NAME).write_text(text, encoding="utf-8")


def _replace(made: Path, folder: Path, version: int) -> None:
    """Moves a model's configuration and version into the repository."""
    target = folder / made.name / str(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    shutil.move(made / str(version), target)
    shutil.move(made / CONFIG_NAME, target.parent / CONFIG_NAME)


def _models(settings: RepositorySettings, *, stands_in: bool) -> list[_Model]:
    models, provenances = [], {}
    for scorer in settings.scorers:
        model, provenances[scorer.model] = _scorer_model(scorer, settings, stands_in)
        models.append(model)
    models.append(_Model(preprocess_config(settings), _preprocess_writer(settings)))
    if settings.in_ensemble:
        columns = _columns(settings, provenances)
        widths = {s.model: len(provenances[s.model].outputs) for s in settings.in_ensemble}
        models.append(_result_model(settings, columns, widths))
        models.append(_Model(ensemble_config(settings, columns), _write_ensemble))
    return models


def _scorer_model(
    scorer: ScorerSettings, settings: RepositorySettings, stands_in: bool
) -> tuple[_Model, Provenance]:
    content = scorer_folder(scorer, settings, stands_in=stands_in)
    embedding_size = None

    def write_settings(folder: Path) -> None:
        if isinstance(content, PythonFolder):
            _write_code(folder, "scorer_model", "ScorerModel")
        content.write_settings(folder)

    if not isinstance(content, PythonFolder):
        embedding_size = content.embedding_size
    config = scorer_config(scorer, settings, content.provenance, embedding_size)
    return _Model(config, write_settings, content.write_data), content.provenance


def _columns(
    settings: RepositorySettings, provenances: Mapping[str, Provenance]
) -> list[ResultColumn]:
    columns = []
    for scorer in settings.in_ensemble:
        provenance = provenances[scorer.model]
        chosen = provenance.outputs if settings.all_outputs else (provenance.default_output,)
        columns += [
            ResultColumn(
                model=scorer.model,
                output=output,
                position=provenance.outputs.index(output),
                provenance=provenance,
                histogram=scorer.histogram,
            )
            for output in chosen
        ]
    return columns


def _preprocess_writer(settings: RepositorySettings) -> _Write:
    wanted = settings.preprocess
    file = PreprocessFile(wanted.faces, wanted.aligned, wanted.max_megapixels, wanted.threads)

    def write(folder: Path) -> None:
        _write_code(folder, "preprocess_model", "PreprocessModel")
        (folder / preprocess_file.NAME).write_text(record_text(file), encoding="utf-8")

    return write


def _result_model(
    settings: RepositorySettings, columns: list[ResultColumn], widths: Mapping[str, int]
) -> _Model:
    for path in settings.calibrations:
        read_calibrations(path)
    names = tuple(f"calibration_{i}.json" for i, _ in enumerate(settings.calibrations))
    file = ResultFile(tuple(columns), names)

    def write_settings(folder: Path) -> None:
        _write_code(folder, "result_model", "ResultModel")
        (folder / result_file.NAME).write_text(record_text(file), encoding="utf-8")

    def write_data(folder: Path) -> None:
        for name, path in zip(names, settings.calibrations, strict=True):
            place(path, folder / name)

    return _Model(result_config(settings, widths, len(columns)), write_settings, write_data)


def _write_ensemble(folder: Path) -> None:
    text = "Triton wants a version folder; an ensemble has nothing to put into it.\n"
    (folder / "README").write_text(text, encoding="utf-8")  # git keeps no empty folders


def _write_code(folder: Path, module: str, name: str) -> None:
    """The file in which Triton's python backend looks for a model."""
    (folder / "model.py").write_text(
        f'"""The model, as Triton looks for it: see fiqa_fast/serving/models/{module}.py."""\n\n'
        f"from fiqa_fast.serving.models.{module} import {name} as TritonPythonModel\n\n"
        '__all__ = ["TritonPythonModel"]\n',
        encoding="utf-8",
    )
