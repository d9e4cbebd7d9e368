"""The config.pbtxt of each model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import jinja2

from fiqa_fast.provenance import Provenance
from fiqa_fast.serving.promise import PARAMETER
from fiqa_fast.serving.repository.settings import (
    ENSEMBLE_MODEL,
    PREPROCESS_MODEL,
    RESULT_MODEL,
    RepositorySettings,
    ScorerSettings,
)
from fiqa_fast.serving.result_file import ResultColumn
from fiqa_fast.types import CROP_SIZE_PX

_MOST_INSTANCES = 4  # each has a network of its own in memory
_RUNS_ON = {
    "python": 'backend: "python"',
    "tensorrt": 'platform: "tensorrt_plan"',
    "openvino": 'backend: "fiqa_openvino"',
    "onnxruntime": 'backend: "fiqa_onnxruntime"',
}


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model, without the batch dimension."""

    name: str
    kind: str  # of Triton's: UINT8, FP32, STRING
    dims: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Step:
    """A step of the ensemble: names of the model's tensors -> names of the ensemble's."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class ModelConfig:
    """What the template writes; everything that all models share it takes from the settings."""

    name: str
    runs_on: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: Sequence[Step] = ()
    instances: int | None = None  # None: no instance group, so that Triton chooses
    rate_limit: Mapping[str, int] = field(default_factory=dict)
    caches: bool = True
    warms_up: bool = False


CROPS = TensorSpec("crops", "UINT8", (CROP_SIZE_PX, CROP_SIZE_PX, 3))
IMAGE = TensorSpec("image", "STRING", (1,))
STATUS = TensorSpec("status", "STRING", (1,))
FACE = (
    TensorSpec("box", "FP32", (4,)),
    TensorSpec("landmarks", "FP32", (5, 2)),
    TensorSpec("confidence", "FP32", (1,)),
)
OUTCOME = (STATUS, TensorSpec("reason", "STRING", (1,)), TensorSpec("note", "STRING", (1,)))


def scorer_config(
    scorer: ScorerSettings,
    settings: RepositorySettings,
    provenance: Provenance,
    embedding_size: int | None = None,
) -> ModelConfig:
    """The configuration of a scorer's model.

    Args:
        scorer: the entry of the YAML.
        settings: the whole YAML.
        provenance: of its scores.
        embedding_size: of the output `embedding`; None: the model has none.
    """
    outputs = [TensorSpec("raw_score", "FP32", (len(provenance.outputs),))]
    if embedding_size is not None:
        outputs.append(TensorSpec("embedding", "FP32", (embedding_size,)))
    parameters = {PARAMETER: provenance.to_json()}
    inputs = [CROPS]
    if scorer.backend == "python":
        parameters["FORCE_CPU_ONLY_INPUT_TENSORS"] = "no"  # crops that are on a GPU stay there
    if _takes_status(scorer):
        inputs.append(replace(STATUS, optional=True))
    return ModelConfig(
        name=scorer.model,
        runs_on=_RUNS_ON[scorer.backend],
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        instances=_instances(settings, scorer),
        rate_limit=scorer.rate_limit,
        warms_up=True,
    )


def preprocess_config(settings: RepositorySettings) -> ModelConfig:
    """The configuration of `face_preprocess`; it works on the CPU everywhere."""
    return ModelConfig(
        name=PREPROCESS_MODEL,
        runs_on=_RUNS_ON["python"],
        inputs=[IMAGE],
        outputs=[TensorSpec("crop", CROPS.kind, CROPS.dims), *FACE, *OUTCOME],
        instances=settings.preprocess.instances if settings.device == "cpu" else None,
    )


def result_config(
    settings: RepositorySettings, widths: Mapping[str, int], columns: int
) -> ModelConfig:
    """The configuration of `fiqa_result`.

    Args:
        settings: the whole YAML.
        widths: for each scorer model of the ensemble, the columns of its `raw_score`.
        columns: of the ensemble's.
    """
    return ModelConfig(
        name=RESULT_MODEL,
        runs_on=_RUNS_ON["python"],
        inputs=[
            *(TensorSpec(score_input(model), "FP32", (width,)) for model, width in widths.items()),
            *OUTCOME,
        ],
        outputs=[*_scores(columns), *OUTCOME],
        instances=1 if settings.device == "cpu" else None,
        caches=False,
    )


def ensemble_config(settings: RepositorySettings, columns: Sequence[ResultColumn]) -> ModelConfig:
    """The configuration of `fiqa`: an image file in; scores, face and outcome out."""
    face = {tensor.name: tensor.name for tensor in FACE}
    found = {tensor.name: f"found_{tensor.name}" for tensor in OUTCOME}
    steps = [Step(PREPROCESS_MODEL, {"image": "image"}, {"crop": "crop", **face, **found})]
    scores: dict[str, str] = {}
    for scorer in settings.in_ensemble:
        inputs = {"crops": "crop"}
        if _takes_status(scorer):
            inputs["status"] = found["status"]
        scores[score_input(scorer.model)] = score_input(scorer.model)
        steps.append(Step(scorer.model, inputs, {"raw_score": score_input(scorer.model)}))
    given = {tensor.name: tensor.name for tensor in (*_scores(1), *OUTCOME)}
    steps.append(Step(RESULT_MODEL, {**scores, **found}, given))
    promise = [
        {"model": c.model, "output": c.output, "provenance": asdict(c.provenance)} for c in columns
    ]
    return ModelConfig(
        name=ENSEMBLE_MODEL,
        runs_on='platform: "ensemble"',
        inputs=[IMAGE],
        outputs=[*_scores(len(columns)), *FACE, *OUTCOME],
        parameters={PARAMETER: json.dumps(promise, sort_keys=True)},
        steps=steps,
    )


def score_input(model: str) -> str:
    """Name of the tensor in which `fiqa_result` gets a model's raw scores."""
    return f"{model}_raw_score"


def render(model: ModelConfig, settings: RepositorySettings) -> str:
    """The text of config.pbtxt."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fiqa_fast.serving", "repository"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    # protobuf text reads JSON's escapes, but not those of characters beyond ASCII
    environment.filters["quoted"] = partial(json.dumps, ensure_ascii=False)
    return environment.get_template("config.pbtxt.j2").render(model=model, settings=settings)


def _scores(columns: int) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "FP32", (columns,)) for name in ("raw_score", "quality"))


def _takes_status(scorer: ScorerSettings) -> bool:
    """Whether the crops of failed images cost nothing; TensorRT's backend scores every crop."""
    return scorer.backend != "tensorrt"


def _instances(settings: RepositorySettings, scorer: ScorerSettings) -> int | None:
    """None where Triton is to decide, which makes one on each GPU."""
    if settings.device == "gpu" and not scorer.rate_limit:
        return scorer.instances
    if scorer.instances is not None or settings.device == "gpu":
        return scorer.instances or 1
    for_each = available_cores() // (len(settings.scorers) * scorer.threads)
    return min(max(1, for_each), _MOST_INSTANCES)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
