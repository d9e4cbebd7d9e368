"""Tells in which form a training set is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.training.data.folder import open_folder
from fiqa_fast.training.data.record_io import DEFAULT_FILE, open_record_io
from fiqa_fast.training.data.web_dataset import open_web_dataset


def open_training_set(
    path: str | Path,
    *,
    name: str | None = None,
    damaged: Literal["error", "skip"] = "error",
    index_folder: Path | None = None,
) -> TrainingSet:
    """Opens a training set in any form.

    - a .rec file, or a folder with a train.rec: RecordIO;
    - a name that ends with .tar, such as "faces-{0000..0099}.tar", or a folder of .tar files:
      WebDataset;
    - any other folder: a sub-folder for each identity.

    Args:
        path: see above.
        name: of the data set; None: after its file or folder.
        damaged: see `open_record_io`.
        index_folder: see `remembered_index`.

    Raises:
        InvalidArgumentError: see `open_folder`, `open_record_io` and `open_web_dataset`.
    """
    path = Path(path)
    if path.suffix == ".rec" or (path / DEFAULT_FILE).is_file():
        return open_record_io(path, name=name, damaged=damaged, index_folder=index_folder)
    if path.suffix == ".tar":
        return open_web_dataset(path, name=name, index_folder=index_folder)
    shards = sorted(path.glob("*.tar")) if path.is_dir() else []
    if shards:
        return open_web_dataset(shards, name=name or path.name, index_folder=index_folder)
    return open_folder(path, name=name)
