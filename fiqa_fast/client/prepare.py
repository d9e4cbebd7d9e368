"""Chooses how images are scored, and refuses what the server cannot do before the first one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from fiqa_fast.calibration import Calibration
from fiqa_fast.client.columns import ColumnMaker
from fiqa_fast.client.crop_scoring import crop_models
from fiqa_fast.client.found_by_server import FoundByServer
from fiqa_fast.client.found_here import FoundHere
from fiqa_fast.client.image_scoring import Detect, ImageScoring
from fiqa_fast.client.server import Server
from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.images.decode import DEFAULT_MAX_MEGAPIXELS
from fiqa_fast.images.detect import FacePolicy, YuNetDetector
from fiqa_fast.pipeline import FaceFinder, check_policy


async def prepare_images(
    server: Server,
    scorers: Sequence[str] | None = None,
    *,
    detect: Detect = "server",
    faces: FacePolicy | None = None,
    all_outputs: bool = False,
    calibrations: Sequence[Calibration] = (),
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
) -> ImageScoring:
    """Prepares to score images; asks the server what it has.

    Args:
        server: to ask.
        scorers: names of models or scorers; None: all that the server offers.
        detect: see `ImageChoices`, as for all that follow.
        faces: likewise.
        all_outputs: likewise.
        calibrations: likewise.
        max_megapixels: likewise.

    Raises:
        InvalidArgumentError: a wrong choice, or the server does not give what is wanted.
        ServerError: the server does not tell.
    """
    if detect not in get_args(Detect):
        raise InvalidArgumentError(
            f"client: expected detect to be one of {', '.join(get_args(Detect))}, got {detect!r};"
            " choose one of them"
        )
    if faces is not None and detect != "client":
        raise InvalidArgumentError(
            f"client: expected faces with detect='client' only, got faces={faces!r} with"
            f" detect={detect!r}; find the faces here, or leave it out"
        )
    if scorers is not None and not scorers:
        raise InvalidArgumentError(
            "client: expected the names of one scorer or more, got none; leave them out for all"
            " that the server offers"
        )
    columns = ColumnMaker(calibrations)
    scoring: ImageScoring
    if detect == "server":
        scoring = FoundByServer(
            server, scorers, columns, all_outputs=all_outputs, max_megapixels=max_megapixels
        )
    else:
        policy: FacePolicy = faces or "largest"
        check_policy(policy)
        detector = YuNetDetector() if detect == "client" else None
        finder = FaceFinder(detector, faces=policy, max_megapixels=max_megapixels)
        models = await crop_models(server, scorers, columns, all_outputs=all_outputs)
        scoring = FoundHere(server, models, finder)
    await scoring.columns()
    return scoring
