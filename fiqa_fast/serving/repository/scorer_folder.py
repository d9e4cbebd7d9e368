"""The version folder of a scorer's model: what it holds, and what the scores will be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fiqa_fast.engines.export import SUFFIXES, export_scorer
from fiqa_fast.engines.tensorrt import BatchProfile
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.provenance import Provenance, provenance_of
from fiqa_fast.scorers.base import Scorer
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.serving import engine_file, scorer_file
from fiqa_fast.serving.engine_file import EngineFile
from fiqa_fast.serving.repository.place import place
from fiqa_fast.serving.repository.settings import RepositorySettings, ScorerSettings
from fiqa_fast.serving.scorer_file import ScorerFile
from fiqa_fast.serving.typed_record import record_text

_GPU = "cuda:0"
_GRAPH = "model"  # TensorRT's backend looks for model.plan
_TARGETS = {"openvino": "openvino", "onnxruntime": "onnx"}
_USUAL_BATCH = 8


@dataclass(frozen=True)
class PythonFolder:
    """Of the python backend: `scorer.json`, and the weights beside it.

    Attributes:
        provenance: of the scores that the model will give.
        file: how the scorer is made.
        weights: file to put beside it; None: the packaged ones.
    """

    provenance: Provenance
    file: ScorerFile
    weights: Path | None

    def write_settings(self, folder: Path) -> None:
        """Writes what says how the model is made."""
        (folder / scorer_file.NAME).write_text(record_text(self.file), encoding="utf-8")

    def write_data(self, folder: Path) -> None:
        """Writes the weights."""
        if self.weights is not None:
            place(self.weights, folder / self.weights.name)


@dataclass(frozen=True)
class EngineFolder:
    """Of the backends that run an exported graph: `engine.json`, and the graph beside it.

    Attributes:
        provenance: of the scores that the model will give.
        embedding_size: of the output `embedding`; None: the graph has none.
        scorer: whose graph it is.
        target: what `export_scorer` shall write.
        largest_batch: that the model must take.
        file: how the graph is run.
    """

    provenance: Provenance
    embedding_size: int | None
    scorer: Scorer
    target: str
    largest_batch: int
    file: EngineFile

    def write_settings(self, folder: Path) -> None:
        """Writes what says how the model is run."""
        (folder / engine_file.NAME).write_text(record_text(self.file), encoding="utf-8")

    def write_data(self, folder: Path) -> None:
        """Exports the graph."""
        export_scorer(
            self.scorer,
            self.target,
            folder,
            precision=self.provenance.precision,
            name=_GRAPH,
            with_embedding=self.embedding_size is not None,
            profile=BatchProfile(opt=min(_USUAL_BATCH, self.largest_batch), max=self.largest_batch),
        )


def scorer_folder(
    scorer: ScorerSettings, settings: RepositorySettings, *, stands_in: bool = False
) -> PythonFolder | EngineFolder:
    """Loads a scorer once, on the CPU, to learn what its scores will be.

    Args:
        scorer: the entry of the YAML.
        settings: the whole YAML.
        stands_in: the repository is for a GPU, and will be loaded on a CPU.

    Raises:
        InvalidArgumentError: an option is wrong, or the default output is not among the outputs.
        FiqaError: as `create_scorer`.
    """
    if scorer.backend == "python":
        return _python_folder(scorer, settings, stands_in)
    return _engine_folder(scorer, settings, stands_in)


def _python_folder(
    scorer: ScorerSettings, settings: RepositorySettings, stands_in: bool
) -> PythonFolder:
    # What fits this CPU best says nothing about a GPU.
    auto_on_gpu = scorer.engine == "auto" and settings.device == "gpu"
    loaded = _load(scorer, scorer.precision, "torch" if auto_on_gpu else scorer.engine)
    file = ScorerFile(
        scorer=scorer.scorer,
        network=scorer.network,
        weights=None if scorer.weights is None else scorer.weights.name,
        variant=scorer.variant,
        precision=scorer.precision,
        engine=loaded.engine,
        seed=scorer.seed,
        options=scorer.options,
        outputs=_chosen_outputs(scorer, loaded),
        threads=scorer.threads,
        stands_in=stands_in,
    )
    device = "cpu" if settings.device == "cpu" else _GPU
    provenance = file.provenance(loaded).on(loaded.engine, device)
    return PythonFolder(provenance, file, scorer.weights)


def _engine_folder(
    scorer: ScorerSettings, settings: RepositorySettings, stands_in: bool
) -> EngineFolder:
    loaded = _load(scorer, "float32", "reference")
    on_gpu = scorer.backend == "tensorrt" and settings.device == "gpu"
    target = "tensorrt" if on_gpu and not stands_in else _TARGETS.get(scorer.backend, "openvino")
    engine, device = ("tensorrt", _GPU) if on_gpu else (_engine_of(target), "cpu")
    provenance = replace(provenance_of(loaded), precision=scorer.precision).on(engine, device)
    return EngineFolder(
        provenance=provenance,
        embedding_size=loaded.backbone.spec.embedding_size if scorer.embedding else None,
        scorer=loaded,
        target=target,
        largest_batch=settings.max_batch_size,
        file=EngineFile(_GRAPH + SUFFIXES[target], scorer.threads, stands_in and on_gpu),
    )


def _load(scorer: ScorerSettings, precision: str, engine: str) -> Scorer:
    return create_scorer(
        scorer.scorer,
        backbone=scorer.network,
        weights=scorer.weights,
        variant=scorer.variant,
        precision=precision,
        device="cpu",
        engine=engine,
        seed=scorer.seed,
        **scorer.options,
    )


def _chosen_outputs(scorer: ScorerSettings, loaded: Scorer) -> tuple[str, ...]:
    if scorer.outputs is None:
        return loaded.spec.outputs
    if loaded.output not in scorer.outputs:
        raise InvalidArgumentError(
            f"serve: expected outputs of {scorer.model} with {loaded.output}, which clients take"
            f" unless they ask for another, got {', '.join(scorer.outputs)}; add it, or choose one"
            " of these with the option `output`"
        )
    return scorer.outputs


def _engine_of(target: str) -> str:
    return "onnxruntime" if target == "onnx" else target
