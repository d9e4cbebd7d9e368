"""Writes the pictures of a run: one PNG for each explained score of a face."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fiqa_fast.errors import ResultsError
from fiqa_fast.explanation.picture import SCALE_PERCENTILES, colour_scale, draw
from fiqa_fast.results import ScoreRow, stored_path
from fiqa_fast.scorers.base import Scorer, explains_nothing
from fiqa_fast.types import AlignedFace, Float64Array, UInt8Array

_STEM_CHARACTERS = 40  # at most 160 bytes of the 255 that a file name may have
_FILE_NAME = re.compile(r".+-[0-9a-f]{8}-\d+-[a-z0-9-]+-\w+\.png")
_COLUMNS_LEFT_OUT = ("box", "landmarks", "status", "version", "elapsed_ms")


class ExplanationWriter:
    """Writes one picture for each explained score of a face.

    A picture shows what the network saw and, to the right of it, the map of `Scorer.explain` over
    the same pixels. Its PNG text holds the columns of the face's row in the table, the size and
    the total of the map, and the scale of its colours.

    Args:
        folder: made with the first picture.
        scorers: the methods of the run; scores without a map are passed over.
        all_outputs: the rows hold every output of each scorer instead of its chosen one.

    Attributes:
        failures: what could not be explained, and why.

    Raises:
        InvalidArgumentError: none of the scores has a map.
    """

    def __init__(
        self, folder: Path, scorers: Sequence[Scorer], *, all_outputs: bool = False
    ) -> None:
        scores = [
            (scorer, output)
            for scorer in scorers
            for output in (scorer.spec.outputs if all_outputs else (scorer.output,))
        ]
        self._scorers = {s.spec.name: s for s, output in scores if output in s.spec.explains}
        if not self._scorers:
            raise explains_nothing([f"{scorer.spec.name} {output}" for scorer, output in scores])
        self.folder = folder
        self.failures: list[str] = []

    def write(self, face: AlignedFace, rows: Sequence[ScoreRow]) -> list[Path]:
        """Explains a face that was scored.

        Args:
            face: with its crop.
            rows: those of this face; the ones without a score or without a map are passed over.

        A method that fails here (out of memory, since it runs once more) costs its picture, and
        stands in `failures`.

        Returns:
            The files, replaced where they existed. The same face and rows give the same bytes.

        Raises:
            ResultsError: the folder cannot be written.
        """
        written = []
        for name, scorer in self._scorers.items():
            explained = {
                row.score.output: row
                for row in rows
                if row.status == "ok"
                and row.score.scorer == name
                and row.score.output in scorer.spec.explains
            }
            if not explained:
                continue
            seen = _as_the_network_sees(face.crop, scorer)
            try:
                maps = scorer.explain(face.crop[None], outputs=list(explained))
            except Exception as error:
                self.failures.append(f"{face.path}, {name}: {type(error).__name__}: {error}")
                continue
            for output, row in explained.items():
                heat = maps[output][0].double().cpu().numpy()
                written.append(self._write(row, draw(seen, heat), heat))
        return written

    def _write(self, row: ScoreRow, picture: UInt8Array, heat: Float64Array) -> Path:
        file = self.folder / file_name(row)
        text = PngInfo()
        for key, value in _facts(row, heat).items():
            text.add_text(key, value)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file, pnginfo=text)
        except OSError as error:
            raise ResultsError(
                f"explain: expected to be able to write {str(file)!r}, got {error.strerror};"
                " choose a folder that is writable and has space"
            ) from error
        return file


def file_name(row: ScoreRow) -> str:
    """Names the picture of a row: `<stem>-<digest of path>-<face index>-<method>-<output>.png`.

    The digest (8 digits of SHA-256 over the path as the table has it) tells files of one name in
    several folders apart. Any path gives a valid name: the stem is cut, and all but letters,
    digits, ".", "_" and "-" becomes "_".
    """
    path = stored_path(row.path)
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    stem = re.sub(r"[^\w.-]", "_", PurePath(path).stem)[:_STEM_CHARACTERS].lstrip(".-") or "face"
    return f"{stem}-{digest}-{row.face_index}-{row.score.scorer}-{row.score.output}.png"


def remove_explanations(folder: Path) -> None:
    """Deletes the pictures of an earlier run, and nothing else, from a folder that may be missing.

    Raises:
        ResultsError: a picture cannot be deleted.
    """
    try:
        for file in folder.glob("*.png"):
            if _FILE_NAME.fullmatch(file.name):
                file.unlink()
    except OSError as error:
        raise ResultsError(
            f"explain: expected to be able to delete the earlier pictures in {folder},"
            f" got {error.strerror}; choose another folder"
        ) from error


def _as_the_network_sees(crop: UInt8Array, scorer: Scorer) -> UInt8Array:
    """A crop in the size of the network's input, which the map belongs to: uint8 RGB [H, W, 3]."""
    batch = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None]
    fitted = scorer.backbone.spec.input.fitted(batch)[0]
    return np.ascontiguousarray(fitted.permute(1, 2, 0).numpy())


def _facts(row: ScoreRow, heat: Float64Array) -> dict[str, str]:
    """What stands in the PNG's text: enough to find the row, and to read the colours."""
    columns = {k: v for k, v in row.record().items() if k not in _COLUMNS_LEFT_OUT}
    low, high = colour_scale(heat)
    first, last = SCALE_PERCENTILES
    return {
        "Software": f"fiqa_fast {row.score.version}",
        **{name: str(value) for name, value in columns.items() if value not in (None, "")},
        "map_size": f"{heat.shape[1]}x{heat.shape[0]}",
        "total": repr(float(heat.sum())),
        "scale": f"{low:.6g} to {high:.6g} (percentiles {first} and {last} of the map)",
    }
