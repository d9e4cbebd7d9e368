"""The short YAML that `fiqa-fast serve build-repo` makes a model repository from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fiqa_fast.images.decode import DEFAULT_MAX_MEGAPIXELS
from fiqa_fast.scorers.base import ScorerSpec
from fiqa_fast.scorers.registry import scorer_class
from fiqa_fast.serving.typed_record import parse_record, wrong_value
from fiqa_fast.yaml_file import read_yaml

Device = Literal["cpu", "gpu"]
Backend = Literal["python", "tensorrt", "openvino", "onnxruntime"]
Precision = Literal["float32", "float64", "bf16", "fp16", "int8"]

PREPROCESS_MODEL, RESULT_MODEL, ENSEMBLE_MODEL = "face_preprocess", "fiqa_result", "fiqa"
_RESERVED = (PREPROCESS_MODEL, RESULT_MODEL, ENSEMBLE_MODEL)
_ENGINE_PRECISIONS = ("float32", "bf16", "fp16")  # in int8 the backend python is the faster one
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class PreprocessSettings:
    """The section `preprocess`: from an image file to a crop.

    Attributes:
        faces: which face of a photograph: "largest" or "central".
        aligned: images are crops that are aligned already; nothing is detected.
        max_megapixels: larger images are refused before they are decoded.
        threads: images that one instance works on at a time.
        instances: processes, on the CPU.
    """

    faces: Literal["largest", "central"] = "largest"
    aligned: bool = False
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS
    threads: int = 2
    instances: int = 1


@dataclass(frozen=True)
class ScorerSettings:
    """One entry of `scorers`: a method on a network, as a model.

    Attributes:
        scorer: registered name.
        name: of the model; None: the scorer's, with "_" for "-".
        network: registered name; None: what the weights hold, or the method's default.
        weights: file, relative to the YAML; None: the packaged weights.
        precision: the arithmetic.
        variant: "official" or "paper".
        options: the method's parameters.
        seed: of the random draws.
        outputs: of a method with several, those that the model gives; None: all of them. Of the
            backend "python" only.
        backend: "python" runs the scorer itself; the others run its exported graph: "tensorrt" (on
            a CPU by OpenVINO in its place), "openvino", "onnxruntime".
        engine: of the backend "python": what `create_scorer` takes.
        embedding: the model also gives the network's embedding; not of the backend "python".
        instances: processes on the CPU, or on each GPU; None: one on each GPU; on the CPU as many
            as it takes for the scorers' threads to fill the cores of the machine that builds the
            repository, 1 to 4.
        threads: of the CPU that one instance works with.
        histogram: upper bounds of the buckets in which the metrics count raw scores; none: no such
            histogram.
        rate_limit: of each resource, how many an execution holds (server started with limits).
    """

    scorer: str
    name: str | None = None
    network: str | None = None
    weights: Path | None = None
    precision: Precision = "float32"
    variant: Literal["official", "paper"] = "official"
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    outputs: tuple[str, ...] | None = None
    backend: Backend = "python"
    engine: str = "auto"
    embedding: bool = False
    instances: int | None = None
    threads: int = 1
    histogram: tuple[float, ...] = ()
    rate_limit: dict[str, int] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.name or self.scorer.replace("-", "_")


@dataclass(frozen=True)
class RepositorySettings:
    """The whole file.

    Attributes:
        scorers: the models; each name once.
        ensemble: names of the models whose scores `fiqa` gives; None: all of them; (): no ensemble.
        device: "cpu" or "gpu": what the repository is filled for.
        all_outputs: the ensemble gives every output of each scorer, not the default one only.
        version: number of the version folders; the configurations ask for this version alone. A
            server's response cache goes by name and version, so change it with the scores.
        max_batch_size: crops (images) that are put together.
        queue_delay_us: microseconds that a request waits for others to fill its batch.
        queue_timeout_ms: a request that waits longer is refused (UNAVAILABLE).
        queue_size: requests that wait at most; more are refused (UNAVAILABLE).
        response_cache: equal requests are answered from the server's cache, where it has one.
        warm_up: models score a crop before they are ready.
        calibrations: files of `fiqa-fast calibrate`, relative to the YAML.
        preprocess: from an image to a crop.
    """

    scorers: tuple[ScorerSettings, ...]
    ensemble: tuple[str, ...] | None = None
    device: Device = "cpu"
    all_outputs: bool = False
    version: int = 1
    max_batch_size: int = 16
    queue_delay_us: int = 1000
    queue_timeout_ms: int = 30_000
    queue_size: int = 256
    response_cache: bool = True
    warm_up: bool = True
    calibrations: tuple[Path, ...] = ()
    preprocess: PreprocessSettings = field(default_factory=PreprocessSettings)

    @property
    def in_ensemble(self) -> list[ScorerSettings]:
        """The models whose scores the ensemble gives, in its order."""
        by_name = {scorer.model: scorer for scorer in self.scorers}
        names = by_name if self.ensemble is None else self.ensemble
        return [by_name[name] for name in names]


def read_settings(path: Path) -> RepositorySettings:
    """Reads the YAML.

    Args:
        path: the file; paths in it are relative to its folder.

    Raises:
        InvalidArgumentError: it cannot be read, or a key or value is wrong; the message names the
            key and what is valid.
        UnavailableError: PyYAML is not installed.
    """
    content = read_yaml(path, verb="serve", extra="serve")
    return parse_settings(content, path.parent)


def parse_settings(content: object, folder: Path = Path()) -> RepositorySettings:
    """As `read_settings`, of what stands in the file.

    Args:
        content: mappings, lists, text and numbers, as YAML has them.
        folder: that paths are relative to.
    """
    settings = parse_record(RepositorySettings, content, folder=folder)
    _check(settings)
    return settings


def _check(settings: RepositorySettings) -> None:
    """What a type cannot say."""
    for name in ("version", "max_batch_size", "queue_timeout_ms", "queue_size"):
        _check_at_least(name, getattr(settings, name), 1)
    _check_at_least("queue_delay_us", settings.queue_delay_us, 0)
    for name in ("threads", "instances"):
        _check_at_least(f"preprocess.{name}", getattr(settings.preprocess, name), 1)
    if settings.preprocess.max_megapixels <= 0:
        raise wrong_value(
            "preprocess.max_megapixels", "a number > 0", settings.preprocess.max_megapixels
        )
    if not settings.scorers:
        raise wrong_value("scorers", "one entry or more", list(settings.scorers))
    names = [scorer.model for scorer in settings.scorers]
    for number, scorer in enumerate(settings.scorers):
        _check_scorer(f"scorers[{number}]", scorer)
        if names.count(scorer.model) > 1:
            raise wrong_value(
                f"scorers[{number}].name", "a name that no other model has", scorer.model
            )
    for name in settings.ensemble or ():
        if name not in names:
            raise wrong_value("ensemble", f"names of scorers (of {', '.join(names)})", name)
    if len(set(settings.ensemble or ())) < len(settings.ensemble or ()):
        raise wrong_value("ensemble", "each name once", list(settings.ensemble or ()))


def _check_scorer(where: str, scorer: ScorerSettings) -> None:
    spec = scorer_class(scorer.scorer).spec
    if not _NAME.fullmatch(scorer.model) or scorer.model in _RESERVED:
        wanted = f"lower-case letters, digits and _, and none of {', '.join(_RESERVED)}"
        raise wrong_value(f"{where}.name", wanted, scorer.model)
    for output in scorer.outputs or ():
        if output not in spec.outputs:
            raise wrong_value(f"{where}.outputs", f"some of {', '.join(spec.outputs)}", output)
    if scorer.outputs is not None and (
        not scorer.outputs or len(set(scorer.outputs)) < len(scorer.outputs)
    ):
        raise wrong_value(f"{where}.outputs", "one output or more, each once", list(scorer.outputs))
    _check_backend(where, scorer, spec)
    _check_at_least(f"{where}.threads", scorer.threads, 1)
    if scorer.instances is not None:
        _check_at_least(f"{where}.instances", scorer.instances, 1)
    for resource, count in scorer.rate_limit.items():
        _check_at_least(f"{where}.rate_limit.{resource}", count, 1)
    if list(scorer.histogram) != sorted(set(scorer.histogram)):
        raise wrong_value(f"{where}.histogram", "bounds in rising order", list(scorer.histogram))


def _check_backend(where: str, scorer: ScorerSettings, spec: ScorerSpec) -> None:
    """Refuses keys that the backend has no use for, and methods that it cannot run."""
    if scorer.backend == "python":
        if scorer.embedding:
            raise wrong_value(f"{where}.embedding", "false with the backend python", True)
        return
    with_it = f"with the backend {scorer.backend}"
    if spec.is_random:
        raise wrong_value(
            f"{where}.backend",
            f"python for {scorer.scorer}, which draws random numbers (its graph runs there too:"
            f" `engine: {scorer.backend}`)",
            scorer.backend,
        )
    if scorer.precision not in _ENGINE_PRECISIONS:
        wanted = f"one of {', '.join(_ENGINE_PRECISIONS)} {with_it}"
        raise wrong_value(f"{where}.precision", wanted, scorer.precision)
    if scorer.outputs is not None:
        raise wrong_value(f"{where}.outputs", f"left out {with_it}", list(scorer.outputs))
    if scorer.engine != "auto":
        raise wrong_value(f"{where}.engine", f"left out {with_it}", scorer.engine)


def _check_at_least(where: str, value: int, least: int) -> None:
    if value < least:
        raise wrong_value(where, f"{least} or more", value)
