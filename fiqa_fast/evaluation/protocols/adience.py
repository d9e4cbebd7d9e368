"""Adience as it is released: folders of albums, and the person's number in the files' names.

E. Eidinger, R. Enbar, T. Hassner, "Age and gender estimation of unfiltered faces", IEEE TIFS 9(12),
2014. A folder is the album of a user, in which there are several persons; the file
`landmark_aligned_face.2282.11597935265_29bcdfa4a5_o.jpg` shows person 2282. Numbers hold for the
whole data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.protocols.draw import MATED_PER_IDENTITY, NON_MATED
from fiqa_fast.evaluation.protocols.folder import images_below, protocol_of_identities

_FILE = re.compile(r"(?:landmark_aligned_face|coarse_tilt_aligned_face)\.(\d+)\..+")


def is_adience(root: Path) -> bool:
    """Whether the first image below a folder has a name of Adience's."""
    first = next(images_below(root), "")
    return _FILE.fullmatch(first.rpartition("/")[2]) is not None


def read_adience(
    root: str | Path,
    *,
    aligned: bool = False,
    mated_per_identity: int = MATED_PER_IDENTITY,
    non_mated: int = NON_MATED,
    seed: int = 0,
) -> Protocol:
    """Reads the folder `aligned` or `faces` of the release.

    Args:
        root: the folder that holds the albums.
        aligned: whether the images are crops for recognition networks; those of the release are
            turned upright, but much wider.
        mated_per_identity: see `draw_comparisons`.
        non_mated: see `draw_comparisons`.
        seed: of the draws.

    Raises:
        InvalidArgumentError: an image has another name, or there is nothing to compare.
    """
    root = Path(root)
    return protocol_of_identities(
        root,
        _numbered(root),
        name="Adience",
        aligned=aligned,
        mated_per_identity=mated_per_identity,
        non_mated=non_mated,
        seed=seed,
    )


def _numbered(root: Path) -> Iterator[tuple[str, str]]:
    for file in images_below(root):
        found = _FILE.fullmatch(file.rpartition("/")[2])
        if found is None:
            raise InvalidArgumentError(
                "Adience: expected images named landmark_aligned_face.PERSON.PHOTOGRAPH.jpg, got"
                f" {file} in {root}; keep the release's names, or make a folder for each person"
            )
        yield file, found[1]
