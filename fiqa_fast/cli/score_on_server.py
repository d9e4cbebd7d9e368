"""`fiqa-fast score --server`: the scores come from a server, everything else is as without one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

from fiqa_fast.calibration import Calibration
from fiqa_fast.cli.scoring_job import ScoringJob
from fiqa_fast.client import ClientOptions, ContractError, FiqaClient, ServerError, Tls
from fiqa_fast.client.image_scoring import Detect, ImageChoices
from fiqa_fast.client.options import parse_server
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.detect import FacePolicy
from fiqa_fast.results import ScoreRow
from fiqa_fast.rows import ScoreColumn
from fiqa_fast.version import __version__

DEFAULT_TIMEOUT_S = 300.0  # a slow method on a CPU keeps the last of a queue waiting for minutes
TOKEN_VARIABLE = "FIQA_SERVER_TOKEN"

# What a server decides when its repository is built.
_LOCAL = (
    "option",
    "variant",
    "backbone",
    "weights",
    "precision",
    "device",
    "engine",
    "seed",
    "batch_size",
    "explain",
)


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def check_server_options(context: typer.Context) -> None:
    """Refuses options that say nothing to a server.

    Raises:
        InvalidArgumentError: one of them is given.
    """
    given = [f"--{name.replace('_', '-')}" for name in _LOCAL if is_given(context, name)]
    if given:
        raise InvalidArgumentError(
            f"score: expected none of the options that a server's repository decides with --server,"
            f" got {', '.join(given)}; leave them out, or build the repository so"
            " (`fiqa-fast serve build-repo`)"
        )


def score_on_server(
    job: ScoringJob,
    server: str,
    timeout_s: float,
    scorers: Sequence[str] | None,
    *,
    detect: Detect,
    faces: FacePolicy,
    all_outputs: bool,
    max_megapixels: float,
    calibrations: Mapping[Path, Sequence[Calibration]],
) -> None:
    """Runs a job on a server.

    Args:
        job: the run.
        server: [SCHEME://]HOST:PORT.
        timeout_s: for an image.
        scorers: names of models or scorers; None: all that the server offers.
        detect: who finds faces.
        faces: which, when they are found here.
        all_outputs: every output of each scorer instead of its chosen one.
        max_megapixels: larger images are not read.
        calibrations: of each file that the user gave.

    Raises:
        ServerError: the server went away; what has no rows yet was told and listed.
        InvalidArgumentError: a wrong address, or the server does not give what is wanted.
    """
    address, protocol, encrypts = parse_server(server)
    options = ClientOptions(
        address,
        protocol=protocol,
        tls=Tls() if encrypts else None,
        token=os.environ.get(TOKEN_VARIABLE),
        timeout_s=timeout_s,
    )
    given = [c for of_file in calibrations.values() for c in of_file]
    choices = ImageChoices(
        detect=detect,
        all_outputs=all_outputs,
        calibrations=given,
        max_megapixels=max_megapixels,
    )
    if detect == "client":
        choices["faces"] = faces
    with FiqaClient(options) as client:
        columns = client.columns(scorers, **choices)
        settings = _settings(
            columns,
            detect=detect,
            faces=choices.get("faces"),
            all_outputs=all_outputs,
            max_megapixels=max_megapixels,
            calibrations=sorted(c.digest for c in given),
        )
        used = [c.calibration for c in columns if isinstance(c.calibration, Calibration)]
        try:
            job.run(
                lambda todo: _unchanged(client.score_stream(todo, scorers, **choices), columns),
                settings,
                calibrations,
                used,
            )
        except ServerError:
            job.list_unscored()
            raise


def _unchanged(
    stream: Iterator[list[ScoreRow]], columns: Sequence[ScoreColumn]
) -> Iterator[list[ScoreRow]]:
    """Passes rows on as long as the numbers come from where the settings say.

    Raises:
        ContractError: another model answered.
    """
    promised = [column.quality_score(None) for column in columns]
    for rows in stream:
        for number, row in enumerate(rows):
            score, before = row.score, promised[number % len(promised)]
            if replace(before, raw_score=score.raw_score, quality=score.quality) != replace(
                score, quality_reason=before.quality_reason
            ):
                raise ContractError(
                    f"score: expected the models that the run began with, got another for"
                    f" {score.scorer} from the server; start again with --overwrite"
                )
        yield rows


def _settings(columns: Sequence[ScoreColumn], **choices: Any) -> dict[str, Any]:
    """Everything that decides the rows: must be equal for a run to be resumed."""
    return {
        "version": __version__,
        "served": [{"output": c.output, "provenance": asdict(c.provenance)} for c in columns],
        **choices,
    }
