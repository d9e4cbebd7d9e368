"""A folder with a sub-folder of image files for each identity."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.checks import name_some
from fiqa_fast.evaluation.protocols.folder import images_below
from fiqa_fast.evaluation.protocols.image_files import ImageFiles
from fiqa_fast.images.decode import read_image_file
from fiqa_fast.training.data.base import TrainingSet


def open_folder(root: str | Path, *, name: str | None = None) -> TrainingSet:
    """Takes each sub-folder as an identity, with the images in it at any depth.

    Samples are named by their path below the folder, with "/". A sub-folder without images is an
    identity too, so that a check can name it.

    Args:
        root: the folder.
        name: of the data set; None: the folder's name.

    Raises:
        InvalidArgumentError: no folder, one that may not be listed, or images beside the
            sub-folders.
    """
    root = Path(root)
    samples = tuple(images_below(root))
    loose = [sample for sample in samples if "/" not in sample]
    if loose:
        raise InvalidArgumentError(
            f"training set: expected a sub-folder of {root} for each identity, got images beside"
            f" them: {name_some(loose, len(loose))}; move each into the folder of its identity"
        )
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    numbers = {identity: number for number, identity in enumerate(names)}
    identity = np.fromiter((numbers[s.split("/", 1)[0]] for s in samples), np.int32, len(samples))
    read = _FileReader(ImageFiles(root, samples))
    return TrainingSet(name or root.name, samples, identity, tuple(names), read)


@dataclass(frozen=True)
class _FileReader:
    files: ImageFiles

    def __call__(self, position: int) -> bytes:
        path = self.files[position]
        return read_image_file(path)
