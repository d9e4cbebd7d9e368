"""What a model's config.pbtxt says about its scores, and whether the loaded model keeps it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fiqa_fast.errors import WeightsError
from fiqa_fast.provenance import Provenance

PARAMETER = "fiqa"
"""Key of the config's parameter that holds a provenance (of the ensemble: a list of columns)."""


def promised_provenance(config: dict[str, Any]) -> Provenance:
    """The provenance in a model's configuration.

    Args:
        config: as Triton gives it to a model (`model_config`, as a dict).

    Raises:
        WeightsError: it has none.
        InvalidArgumentError: it cannot be read.
    """
    parameter = config.get("parameters", {}).get(PARAMETER)
    if parameter is None:
        raise WeightsError(
            f"{config.get('name', 'model')}: expected the provenance of its scores in config.pbtxt"
            f" (parameter {PARAMETER}), found none; build the repository with"
            " `fiqa-fast serve build-repo`"
        )
    return Provenance.from_json(parameter["string_value"])


def check_promise(
    model: str, promised: Provenance, loaded: Provenance, *, stands_in: bool = False
) -> None:
    """Refuses a model whose scores would not be those that its configuration tells clients of.

    Args:
        model: its name.
        promised: what config.pbtxt says.
        loaded: what the model gives. Of the device the kind counts, not the number: instances may
            run on several GPUs.
        stands_in: for a test of the configuration another engine runs, on another device, than is
            promised; the rest must agree.

    Raises:
        WeightsError: they differ; the message says where.
    """
    there, here = asdict(promised), asdict(loaded)
    for fields in (there, here):
        fields["device"] = fields["device"].partition(":")[0]
        if stands_in:
            del fields["device"], fields["engine"]
    changed = [name for name in there if there[name] != here[name]]
    if changed:
        told = ", ".join(f"{name}={there[name]!r}" for name in changed)
        got = ", ".join(f"{name}={here[name]!r}" for name in changed)
        raise WeightsError(
            f"{model}: expected what config.pbtxt promises, {told}, got {got} from the files beside"
            " it; build the repository again with `fiqa-fast serve build-repo`"
        )
