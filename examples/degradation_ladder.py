"""Writes a ladder of degraded face crops: six degradations, five levels each, per photograph.

    python examples/degradation_ladder.py examples/faces out/ladder
    python examples/degradation_ladder.py --help

For every photograph of a folder the largest face is aligned to a 112x112 crop (an image that
measures 112x112 already is taken as such a crop), and these files are written:

    OUT/clean/<photo>.png                                 level 0, once per photograph
    OUT/<degradation>/<photo>__<degradation>_<level>.png  levels 1 to 5
    OUT/ladder.csv                                        file,photo,degradation,level,parameter

`file` is relative to OUT, with forward slashes. Level 0 stands in ladder.csv once per photograph,
with the degradation "clean" and no parameter, and is the lowest rung of every degradation.

The same photographs give the same bytes on every run. fiqa_fast.evaluation.ladder does the work.

Score the ladder as crops that are aligned already (detecting faces anew would refuse the worst of
them), then read `examples/ladder_spearman.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.ladder.degradations import LEVELS, degrade, noise_seed
from fiqa_fast.evaluation.ladder.rungs import find_photos, write_ladder, write_png

__all__ = ["LEVELS", "degrade", "find_photos", "main", "noise_seed", "write_ladder", "write_png"]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns 1 if a photograph had to be left out."""
    parser = argparse.ArgumentParser(
        description="Write a ladder of degraded face crops (six degradations, five levels).",
        epilog="Levels 1 to 5: "
        + "; ".join(f"{name} {', '.join(f'{p:g}' for p in ps)}" for name, ps in LEVELS.items()),
    )
    parser.add_argument("photos", type=Path, help="folder of photographs, or of 112x112 crops")
    parser.add_argument("destination", type=Path, help="folder to write to (made if needed)")
    options = parser.parse_args(arguments)
    try:
        photos = find_photos(options.photos)
    except InvalidArgumentError as error:
        parser.error(str(error))
    rungs, left_out = write_ladder(photos, options.destination)
    for sentence in left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    print(f"{len(rungs)} crops of {len(photos) - len(left_out)} photographs: {options.destination}")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
