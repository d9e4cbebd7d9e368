"""From a training set and a recipe to a network with the head of CR-FIQA."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import PickleError

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.checkpoints import load_checkpoint
from fiqa_fast.backbones.layers.heads import CrFiqaHead
from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.training.batch_norm import synchronise_batch_norm
from fiqa_fast.training.checkpoint import Checkpoints, write_durably
from fiqa_fast.training.class_weights import ClassWeights
from fiqa_fast.training.cr_fiqa import CrFiqaTask
from fiqa_fast.training.data.augment import Augmentation
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.loader import Batch, LoaderState, TrainingLoader
from fiqa_fast.training.data.order import SampleOrder
from fiqa_fast.training.distribution import Processes
from fiqa_fast.training.log import TrainingLog
from fiqa_fast.training.loop import Hook, run_training
from fiqa_fast.training.losses import MARGINS, MagFace
from fiqa_fast.training.network import QualityNetwork, new_backbone, new_head, write_network
from fiqa_fast.training.recipe import Recipe

NETWORK_FILE = "network.safetensors"
CLASSES_FILE = "class_weights.pt"
Progress = Callable[[int, Mapping[str, float]], object]


def train_cr_fiqa(
    training_set: TrainingSet,
    recipe: Recipe,
    folder: Path,
    processes: Processes,
    *,
    backbone: Backbone | None = None,
    excluded: frozenset[int] = frozenset(),
    hooks: Callable[[QualityNetwork], Sequence[Hook]] = lambda network: (),
    progress: Progress = lambda step, values: None,
    threads: int | None = None,
) -> QualityNetwork:
    """Trains to the end of the recipe, going on from what the folder holds.

    Args:
        training_set: crops with identities, checked.
        recipe: how.
        folder: for checkpoints, log and results: network.safetensors, a file for `score`, `export`
            and `serve`, and class_weights.pt, for training on top.
        processes: that train together.
        backbone: the network to begin with; None: that of the recipe.
        excluded: positions of samples that are left out, such as unreadable ones.
        hooks: makes evaluations of the network, for the first process; the others wait.
        progress: is told the numbers of some steps.
        threads: that decode; None: one for each core.

    Returns:
        The network, in inference mode.

    Raises:
        InvalidArgumentError: the recipe or the training set cannot be used.
        WeightsError: a weights file cannot be used.
        ResultsError: the folder cannot be used, or a loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = SampleOrder(
        training_set.count,
        recipe.batch_size,
        seed=recipe.seed,
        rank=processes.rank,
        world_size=processes.count,
        excluded=excluded,
    )
    network = _network(recipe, backbone, processes.device)
    classes = _classes(recipe, len(training_set.identity_names), network).to(processes.device)
    task = CrFiqaTask(
        network,
        classes,
        seed=recipe.seed,
        target=recipe.target,  # type: ignore[arg-type]  # checked where it is used
        variant=recipe.variant,  # type: ignore[arg-type]
        weight=recipe.quality_weight,
        beta=recipe.beta,
        forward=_forward(network, recipe, processes),
    )
    optimiser = torch.optim.SGD(
        task.parameter_groups(recipe.weight_decay),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
    )
    loader = TrainingLoader(
        training_set,
        order,
        augmentation=Augmentation(
            flip_fraction=0.5 if recipe.flip else 0.0, degraded_fraction=recipe.degraded_fraction
        ),
        threads=threads,
    )
    settings = {**recipe.decisive(), "order": order.digest, "samples": training_set.count}
    is_first = processes.rank == 0
    with TrainingLog(
        folder, tensorboard=recipe.tensorboard, mlflow=recipe.mlflow, writes=is_first
    ) as log:
        run_training(
            task,
            lambda step: batches_from(loader, order, step, processes.device),
            optimiser,
            recipe.loop(order.steps_per_epoch),
            processes,
            Checkpoints(folder / "checkpoints", processes, settings),
            log,
            hooks(network) if is_first else (),
            progress if is_first else lambda step, values: None,
        )
    every_class = classes.gather_weights().cpu()
    network.eval()
    if is_first:
        origin = f"CR-FIQA trained on {training_set.name}, {training_set.count:,} samples"
        write_network(network, folder / NETWORK_FILE, origin)
        write_durably(folder / CLASSES_FILE, {"weights": every_class})
    processes.wait()
    return network


def batches_from(
    loader: TrainingLoader, order: SampleOrder, step: int, device: torch.device
) -> Iterator[Batch]:
    """The batches of a training from a step on, without an end."""
    epoch, of_epoch = divmod(step, order.steps_per_epoch)
    loader.state = LoaderState(epoch, of_epoch, order.digest)
    while True:
        for batch in loader:
            yield batch.to(device)


def _network(recipe: Recipe, given: Backbone | None, device: torch.device) -> QualityNetwork:
    if given is not None:
        backbone = given
    elif recipe.weights is not None:
        backbone = load_checkpoint(recipe.weights, None)
    elif recipe.on_top:
        raise InvalidArgumentError(
            "train: expected weights for training on top of a network, got none; name a weights"
            " file in the recipe"
        )
    else:
        backbone = new_backbone(recipe.network, recipe.seed)
    head = new_head(CrFiqaHead, backbone)
    if recipe.precision == "float64":
        backbone.prepare(torch.device("cpu"), "float64")
        head.double()
    network = QualityNetwork(backbone, head, dropout=recipe.dropout, frozen=recipe.on_top)
    if recipe.synchronise_batch_norm:
        synchronise_batch_norm(network)
    return network.to(device)


def _classes(recipe: Recipe, count: int, network: QualityNetwork) -> ClassWeights:
    if recipe.margin not in MARGINS:
        raise InvalidArgumentError(
            f"train: expected margin to be one of {', '.join(MARGINS)}, got {recipe.margin!r};"
            " correct the recipe"
        )
    if recipe.margin == MagFace.name and recipe.margin_size is not None:
        raise InvalidArgumentError(
            f"train: expected no margin_size with {recipe.margin}, whose margin follows from the"
            f" embedding's length, got {recipe.margin_size}; leave it out of the recipe"
        )
    given = {"scale": recipe.scale, "margin": recipe.margin_size}
    options = {name: value for name, value in given.items() if value is not None}
    classes = ClassWeights(
        count,
        network.backbone.spec.embedding_size,
        MARGINS[recipe.margin](**options),
        seed=recipe.seed,
        sample_rate=recipe.sample_rate,
        dtype=torch.float64 if recipe.precision == "float64" else torch.float32,
    )
    if recipe.class_weights is not None:
        classes.take_weights(_read_class_weights(Path(recipe.class_weights)))
    elif recipe.on_top:
        raise InvalidArgumentError(
            "train: expected class_weights for training on top of a network, got none; name the"
            f" {CLASSES_FILE} of the training that made it"
        )
    return classes


def _read_class_weights(path: Path) -> Tensor:
    try:
        weights = torch.load(path, weights_only=True)["weights"]
    except (OSError, RuntimeError, EOFError, LookupError, TypeError, PickleError) as error:
        raise WeightsError(
            f"train: expected the {CLASSES_FILE} of a training, got {path}"
            f" ({type(error).__name__}); name the file that `fiqa-fast train cr-fiqa` wrote"
        ) from error
    if not isinstance(weights, Tensor):
        raise WeightsError(
            f"train: expected weights of classes in {path}, got {type(weights).__name__}; name the"
            " file that `fiqa-fast train cr-fiqa` wrote"
        )
    return weights


def _forward(network: QualityNetwork, recipe: Recipe, processes: Processes) -> nn.Module:
    if processes.count == 1:
        return network
    ids = [processes.device.index] if processes.device.type == "cuda" else None
    return DistributedDataParallel(
        network, device_ids=ids, broadcast_buffers=not recipe.synchronise_batch_norm
    )
