"""Recipes: everything that decides a training of CR-FIQA, as YAML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.loop import LoopSettings
from fiqa_fast.training.schedule import StepSchedule
from fiqa_fast.yaml_file import read_yaml


@dataclass(frozen=True)
class Recipe:
    """A training of CR-FIQA.

    Attributes:
        network: name of the network.
        weights: a weights file to begin with; None: fresh weights.
        class_weights: a file of `fiqa-fast train` with the classes' weights, for training on top.
        margin: recognition loss: arcface, cosface, elastic-arcface, elastic-cosface,
            curricularface or magface.
        scale: s of the margin loss; None: its paper's.
        margin_size: m, except of magface; None: its paper's.
        target: "cr" or "ccs" (CCS-FIQA).
        variant: of CR: "paper" or "official".
        on_top: whether the network is frozen and only the head learns.
        quality_weight: lambda.
        beta: of the smooth L1 loss.
        epochs: over the training set.
        batch_size: over all processes.
        learning_rate: the first one.
        milestone_epochs: at which it is divided by ten.
        warmup_steps: over which it rises from 0.
        momentum, weight_decay: of SGD.
        clip_norm: of the network's gradient.
        dropout: in front of the last layer.
        flip: whether samples are mirrored at random.
        degraded_fraction: of the samples that are degraded at random, by the ladder's degradations;
            not in the paper, for training sets without bad samples.
        precision: float32, bf16 or fp16; float64 for comparisons.
        synchronise_batch_norm: statistics over all processes, so that their number changes nothing.
        sample_rate: part of the classes that takes part in a step.
        seed: of everything.
        log_every, checkpoint_every, evaluate_every: steps between.
        tensorboard: whether to write for TensorBoard.
        mlflow: name of an experiment of MLflow; None: not.
    """

    network: str = "iresnet50"
    weights: str | None = None
    class_weights: str | None = None
    margin: str = "arcface"
    scale: float | None = None
    margin_size: float | None = None
    target: str = "cr"
    variant: str = "paper"
    on_top: bool = False
    quality_weight: float = 10.0
    beta: float = 0.5
    epochs: int = 34
    batch_size: int = 512
    learning_rate: float = 0.1
    milestone_epochs: tuple[int, ...] = (20, 28, 32)
    warmup_steps: int = 0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_norm: float = 5.0
    dropout: float = 0.4
    flip: bool = True
    degraded_fraction: float = 0.0
    precision: str = "float32"
    synchronise_batch_norm: bool = False
    sample_rate: float = 1.0
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 1000
    evaluate_every: int = 0
    tensorboard: bool = False
    mlflow: str | None = None

    def loop(self, steps_per_epoch: int) -> LoopSettings:
        """Its steps, where an epoch has so many."""
        milestones = tuple(epoch * steps_per_epoch for epoch in self.milestone_epochs)
        return LoopSettings(
            steps=self.epochs * steps_per_epoch,
            schedule=StepSchedule(self.learning_rate, milestones, warmup_steps=self.warmup_steps),
            clip_norm=self.clip_norm,
            precision=self.precision,
            log_every=self.log_every,
            checkpoint_every=self.checkpoint_every,
            evaluate_every=self.evaluate_every,
        )

    def decisive(self) -> dict[str, Any]:
        """What decides the numbers: without logging and saving."""
        silent = {"log_every", "checkpoint_every", "evaluate_every", "tensorboard", "mlflow"}
        return {name: value for name, value in asdict(self).items() if name not in silent}


CR_FIQA_S = Recipe()
"""CR-FIQA(S): iresnet50 on CASIA-WebFace."""
CR_FIQA_L = replace(
    CR_FIQA_S, network="iresnet100", epochs=18, milestone_epochs=(8, 14), batch_size=512
)
"""CR-FIQA(L): iresnet100 on MS1MV2."""
CCS_FIQA_S = replace(CR_FIQA_S, target="ccs")
"""CCS-FIQA(S) of the ablation."""
CR_FIQA_S_ON_TOP = replace(CR_FIQA_S, on_top=True, learning_rate=0.01)
"""CR-FIQA(S) on top of a network that was trained before, of the ablation."""
CCS_FIQA_S_ON_TOP = replace(CR_FIQA_S_ON_TOP, target="ccs")
"""CCS-FIQA(S) on top."""

RECIPES = {
    "cr-fiqa-s": CR_FIQA_S,
    "cr-fiqa-l": CR_FIQA_L,
    "ccs-fiqa-s": CCS_FIQA_S,
    "cr-fiqa-s-on-top": CR_FIQA_S_ON_TOP,
    "ccs-fiqa-s-on-top": CCS_FIQA_S_ON_TOP,
}
"""The paper's, by name; a file may begin with one of them (`base: cr-fiqa-s`)."""


def read_recipe(name_or_path: str) -> Recipe:
    """A recipe by name, or from a YAML file with its fields.

    Raises:
        InvalidArgumentError: no such recipe or file, an unknown field, or a value of another type.
        UnavailableError: PyYAML is not installed.
    """
    if name_or_path in RECIPES:
        return RECIPES[name_or_path]
    content = _read_fields(Path(name_or_path))
    base = content.pop("base", None)
    if base is not None and base not in RECIPES:
        raise InvalidArgumentError(
            f"train: expected base to be one of {', '.join(RECIPES)}, got {base!r} in"
            f" {name_or_path}; correct it"
        )
    kinds = {f.name: str(f.type) for f in fields(Recipe)}
    values = {}
    for name, value in content.items():
        if name not in kinds:
            raise InvalidArgumentError(
                f"train: expected the fields {', '.join(kinds)} in {name_or_path}, got {name!r};"
                " check the spelling"
            )
        values[name] = _checked(name, kinds[name], value, name_or_path)
    return replace(RECIPES[base] if base else Recipe(), **values)


def _checked(name: str, kind: str, value: object, where: str) -> Any:
    if value is None and kind.endswith("| None"):
        return None
    plain = kind.removesuffix(" | None")
    if plain == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if plain.startswith("tuple") and isinstance(value, list):
        if all(isinstance(v, int) for v in value):
            return tuple(value)
    elif type(value).__name__ == plain:
        return value
    raise InvalidArgumentError(
        f"train: expected {name} to be of type {kind}, got {value!r} in {where}; correct it"
    )


def _read_fields(path: Path) -> dict[str, Any]:
    content = read_yaml(
        path,
        verb="train",
        extra="train",
        expected=f"a recipe ({', '.join(RECIPES)}) or a readable YAML file",
    )
    if not isinstance(content, dict):
        raise InvalidArgumentError(
            f"train: expected fields and values in {path}, got {type(content).__name__}; see the"
            " recipes in docs/training.md"
        )
    return content
