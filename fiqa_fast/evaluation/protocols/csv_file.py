"""Comparisons in a CSV file with a header: of samples, or of templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import (
    BoolArray,
    IndexArray,
    Protocol,
    TemplateProtocol,
)
from fiqa_fast.evaluation.protocols.checks import check_protocol, check_templates, name_some
from fiqa_fast.evaluation.protocols.image_files import files_if_any
from fiqa_fast.evaluation.protocols.text_columns import (
    TEXT,
    TRUTH,
    Positions,
    check_header,
    joined,
    read_blocks,
    read_header,
    truth,
)
from fiqa_fast.types import Float64Array

MEMBERS = "templates.csv"
"""Beside a CSV of template comparisons: which samples each template has."""

_SCORE = "comparison_score"


def read_csv(
    path: str | Path, *, image_root: str | Path | None = None, aligned: bool = False
) -> Protocol | TemplateProtocol:
    """Reads comparisons of samples, or of templates where the header has template_a.

    The members of templates are read from `templates.csv` in the same folder.

    Args:
        path: the file.
        image_root: as of `read_pair_csv`.
        aligned: as of `read_pair_csv`.

    Raises:
        InvalidArgumentError: as of `read_pair_csv` and `read_template_csv`.
    """
    path = Path(path)
    if "template_a" in read_header(path):
        members = path.with_name(MEMBERS)
        return read_template_csv(path, members, image_root=image_root, aligned=aligned)
    return read_pair_csv(path, image_root=image_root, aligned=aligned)


def read_pair_csv(
    path: str | Path, *, image_root: str | Path | None = None, aligned: bool = False
) -> Protocol:
    """Reads a CSV file with the columns sample_a,sample_b,mated and maybe comparison_score.

    Columns come in any order; others are passed over. `mated` is 0, 1, false or true.

    Args:
        path: the file.
        image_root: folder in which the samples' names are paths; None: that of the file. Where none
            of the images exists, the protocol has no sources: scores and embeddings must be given.
        aligned: whether the images are aligned crops.

    Raises:
        InvalidArgumentError: it cannot be read; a column is missing; a value is wrong (the message
            names the row); some of the images exist and some do not; comparisons make no sense.
    """
    path = Path(path)
    positions = Positions()
    a, b, mated, scores = _read_comparisons(path, "sample", positions)
    samples = positions.names(path)
    root = path.parent if image_root is None else image_root
    return check_protocol(
        Protocol(
            name=path.stem,
            samples=samples,
            sources=files_if_any(path.stem, root, samples),
            aligned=aligned,
            identity=None,
            sample_a=a,
            sample_b=b,
            mated=mated,
            comparison_scores=scores,
        )
    )


def read_template_csv(
    path: str | Path,
    members: str | Path,
    *,
    image_root: str | Path | None = None,
    aligned: bool = False,
) -> TemplateProtocol:
    """Reads comparisons of templates, and which samples these have.

    Args:
        path: CSV file with the columns template_a,template_b,mated and maybe comparison_score.
        members: CSV file with the columns template,sample and maybe medium; samples of a template
            with the same medium are frames of one video. Without it each sample is a medium.
        image_root: as of `read_pair_csv`; None: the folder of `members`.
        aligned: whether the images are aligned crops.

    Raises:
        InvalidArgumentError: as `read_pair_csv`, and for templates without members.
    """
    path, members = Path(path), Path(members)
    templates, samples, media = Positions(), Positions(), Positions()
    header = read_header(members)
    columns = ["template", "sample", *(["medium"] if "medium" in header else [])]
    check_header(members, header, columns)
    parts: list[list[IndexArray]] = []
    for block in read_blocks(members, dict.fromkeys(columns, TEXT)):
        medium = media.of(block[2]) if len(columns) == 3 else []
        parts.append([*templates.of(block[0]), *samples.of(block[1]), *medium])
    by_column = list(zip(*parts, strict=True)) or [()] * len(columns)
    template_of, template_sample, *media_of = (joined(part, np.int32) for part in by_column)
    a, b, mated, scores = _read_comparisons(path, "template", templates)
    names = samples.names(members)
    root = members.parent if image_root is None else image_root
    return check_templates(
        TemplateProtocol(
            name=path.stem,
            samples=names,
            sources=files_if_any(path.stem, root, names),
            aligned=aligned,
            landmarks=None,
            templates=templates.names(members),
            template_sample=template_sample,
            template_of=template_of,
            media_of=media_of[0] if media_of else template_sample.copy(),
            template_a=a,
            template_b=b,
            mated=mated,
            comparison_scores=scores,
        )
    )


def _read_comparisons(
    path: Path, kind: str, positions: Positions
) -> tuple[IndexArray, IndexArray, BoolArray, Float64Array | None]:
    """Positions of both sides, whether mated, and scores; templates must have positions already."""
    header = read_header(path)
    columns = {f"{kind}_a": TEXT, f"{kind}_b": TEXT, "mated": TRUTH}
    if _SCORE in header:
        columns[_SCORE] = pa.float64()
    check_header(path, header, list(columns))
    parts = []
    for block in read_blocks(path, columns):
        if kind == "sample":
            a, b = positions.of(block[0], block[1])
        else:
            a, b = (known_or_error(path, kind, positions, block[side]) for side in (0, 1))
        scores = [np.asarray(block[3].to_numpy(zero_copy_only=False))] if len(columns) == 4 else []
        parts.append((a, b, truth(block[2]), *scores))
    by_column = list(zip(*parts, strict=True))
    return (
        joined(by_column[0] if parts else [], np.int32),
        joined(by_column[1] if parts else [], np.int32),
        joined(by_column[2] if parts else [], np.bool_),
        joined(by_column[3], np.float64) if len(by_column) == 4 else None,
    )


def known_or_error(path: Path, kind: str, positions: Positions, column: pa.Array) -> IndexArray:
    """Positions of names that must have one.

    Args:
        path: where they stand, for the message.
        kind: what they are: "template".
        positions: of the known ones.
        column: Arrow array of names.

    Raises:
        InvalidArgumentError: some have none; the message names a few.
    """
    found = positions.known(column)
    strangers = np.flatnonzero(found < 0)
    if len(strangers):
        names = dict.fromkeys(str(column[int(i)]) for i in strangers[:1000])
        raise InvalidArgumentError(
            f"protocol: expected the {kind}s of {path} to have members, got {len(strangers)}"
            f" comparisons of others: {name_some(names, len(names))}; add their samples"
        )
    return found
