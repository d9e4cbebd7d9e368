"""IJB-B and IJB-C: templates of photographs and video frames (1:1 verification).

C. Whitelam et al., "IARPA Janus Benchmark-B", CVPR workshops 2017; B. Maze et al., "IARPA Janus
Benchmark-C", ICB 2018. In the form in which InsightFace's evaluation takes them: a folder `meta`
with three lists, and a folder `loose_crop` with the images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import TemplateProtocol
from fiqa_fast.evaluation.protocols.checks import check_templates, name_some
from fiqa_fast.evaluation.protocols.csv_file import known_or_error
from fiqa_fast.evaluation.protocols.image_files import existing_files
from fiqa_fast.evaluation.protocols.text_columns import (
    TEXT,
    TRUTH,
    Positions,
    joined,
    read_blocks,
    truth,
)
from fiqa_fast.types import Float32Array

Benchmark = Literal["ijbb", "ijbc"]
_POINTS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "x5", "y5")


def read_ijb(root: str | Path, benchmark: Benchmark = "ijbc") -> TemplateProtocol:
    """Reads a benchmark: IJB-C has 469,375 images, 23,124 templates and 15,658,489 comparisons.

    The lists, here of IJB-C, have values separated by blanks:

    - meta/ijbc_face_tid_mid.txt: image, template, medium;
    - meta/ijbc_template_pair_label.txt: template, template, and 1 for mated or 0 for non-mated;
    - meta/ijbc_name_5pts_score.txt: image, five landmarks as x y, and a detector's score.

    Args:
        root: the folder that holds `meta` and `loose_crop`.
        benchmark: "ijbb" or "ijbc".

    Returns:
        With landmarks of every image, so that no face has to be found.

    Raises:
        InvalidArgumentError: a file is missing or has another form; images or landmarks are
            missing; the comparisons make no sense.
    """
    meta, title = Path(root, "meta"), f"IJB-{benchmark[-1].upper()}"
    members = meta / f"{benchmark}_face_tid_mid.txt"
    pairs = meta / f"{benchmark}_template_pair_label.txt"
    samples, templates, media = Positions(), Positions(pa.int64()), Positions(pa.int64())
    columns = {"image": TEXT, "template": pa.int64(), "medium": pa.int64()}
    parts = [
        (*samples.of(block[0]), *templates.of(block[1]), *media.of(block[2]))
        for block in read_blocks(members, columns, separator=" ", has_header=False)
    ]
    by_column = list(zip(*parts, strict=True)) or [()] * 3
    template_sample, template_of, media_of = (joined(part, np.int32) for part in by_column)
    columns = {"template_a": pa.int64(), "template_b": pa.int64(), "mated": TRUTH}
    compared = [
        (
            known_or_error(pairs, "template", templates, block[0]),
            known_or_error(pairs, "template", templates, block[1]),
            truth(block[2]),
        )
        for block in read_blocks(pairs, columns, separator=" ", has_header=False)
    ]
    by_column = list(zip(*compared, strict=True)) or [()] * 3
    names = samples.names(members)
    return check_templates(
        TemplateProtocol(
            name=title,
            samples=names,
            sources=existing_files(title, Path(root, "loose_crop"), names),
            aligned=False,
            landmarks=_read_landmarks(meta / f"{benchmark}_name_5pts_score.txt", samples, names),
            templates=templates.names(members),
            template_sample=template_sample,
            template_of=template_of,
            media_of=media_of,
            template_a=joined(by_column[0], np.int32),
            template_b=joined(by_column[1], np.int32),
            mated=joined(by_column[2], np.bool_),
        )
    )


def _read_landmarks(path: Path, samples: Positions, names: tuple[str, ...]) -> Float32Array:
    """The five landmarks of each sample, float32 [S, 5, 2]."""
    landmarks = np.full((len(names), len(_POINTS)), np.nan, np.float32)
    columns = {"image": TEXT, **dict.fromkeys(_POINTS, pa.float32()), "score": pa.float32()}
    for block in read_blocks(path, columns, separator=" ", has_header=False):
        position = samples.known(block[0])
        points = [np.asarray(block[i + 1].to_numpy()) for i in range(len(_POINTS))]
        is_wanted = position >= 0  # the list may have images that no template uses
        landmarks[position[is_wanted]] = np.stack(points, axis=1)[is_wanted]
    absent = np.flatnonzero(~np.isfinite(landmarks).all(1))
    if len(absent):
        some = name_some((names[i] for i in absent), len(absent))
        raise InvalidArgumentError(
            f"protocol: expected five finite landmarks of every image in {path}, got none for"
            f" {some}; get the list again"
        )
    return landmarks.reshape(-1, 5, 2)
