"""Drawn faces of people who do not exist: for experiments where no data set is at hand.

An identity is a set of shapes and colours (face, hair, eyes, brows, nose, mouth, marks); its
samples differ in pose, expression and light, and some are degraded, so that a network can learn to
tell the people apart and finds degraded samples harder. They are no stand-in for real faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fiqa_fast.evaluation.ladder.degradations import LEVELS, degrade
from fiqa_fast.training.data.base import TrainingSet
from fiqa_fast.types import CROP_SIZE_PX, UInt8Array

_MIDDLE = CROP_SIZE_PX / 2


@dataclass(frozen=True)
class Degradation:
    """What was done to a sample: a key of `LEVELS` and 1 to 5; or "" and 0."""

    name: str
    level: int


@dataclass(frozen=True)
class SyntheticFaces:
    """A set of drawn faces; sample n shows the identity n % identities.

    Attributes:
        identities: how many people.
        per_identity: samples of each.
        degraded_fraction: part of the samples that are degraded.
        seed: of everything.
    """

    identities: int
    per_identity: int
    degraded_fraction: float = 0.5
    seed: int = 0

    @property
    def count(self) -> int:
        """All samples."""
        return self.identities * self.per_identity

    def identity(self, position: int) -> int:
        """Whom a sample shows."""
        return position % self.identities

    def degradation(self, position: int) -> Degradation:
        """How a sample is degraded."""
        rng = self._rng(2, position)
        if rng.random() >= self.degraded_fraction:
            return Degradation("", 0)
        return Degradation(str(rng.choice(list(LEVELS))), int(rng.integers(1, 6)))

    def training_set(self) -> TrainingSet:
        """The same as a training set; images are drawn when they are read."""
        return TrainingSet(
            name=f"drawn faces ({self.identities} x {self.per_identity})",
            samples=[
                f"drawn/{n % self.identities}/{n // self.identities}" for n in range(self.count)
            ],
            identity=(np.arange(self.count) % self.identities).astype(np.int32),
            identity_names=[str(n) for n in range(self.identities)],
            read=self._png,
        )

    def _png(self, position: int) -> bytes:
        _, encoded = cv2.imencode(".png", self.crop(position)[..., ::-1])
        return bytes(encoded)

    def crop(self, position: int) -> UInt8Array:
        """The sample: uint8 RGB [112, 112, 3]."""
        person = _Person(self._rng(0, self.identity(position)))
        crop = person.draw(self._rng(1, position))
        wanted = self.degradation(position)
        if wanted.level:
            crop = degrade(crop, wanted.name, wanted.level, photo=f"{self.seed}/{position}")
        return crop

    def _rng(self, subject: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, subject, number]))


class _Person:
    """The shapes and colours of one identity."""

    def __init__(self, rng: np.random.Generator) -> None:
        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        tone = between(0.25, 1.0)
        self.skin = np.asarray([250 * tone + 5, 205 * tone, between(140, 180) * tone])
        shade = between(0, 1)
        # Natural colours, so that people differ in shape more than in colour.
        self.hair = np.asarray([25 + 170 * shade, 18 + 130 * shade, 15 + 70 * shade])
        self.iris = np.asarray([between(20, 110), between(40, 120), between(20, 140)])
        self.lips = np.asarray([between(120, 230), between(30, 110), between(40, 120)])
        self.width, self.height = between(28, 40), between(38, 52)
        self.eye_y, self.eye_apart = between(-14, -4), between(10, 19)
        self.eye_size, self.eye_open = between(3, 7), between(1.5, 4)
        self.brow_lift, self.brow_slope, self.brow_thick = (
            between(5, 10), between(-4, 4), int(rng.integers(1, 5)),
        )  # fmt: skip
        self.nose_long, self.nose_wide = between(8, 20), between(2, 8)
        self.mouth_y, self.mouth_wide, self.mouth_thick = (
            between(17, 28), between(8, 18), int(rng.integers(2, 6)),
        )  # fmt: skip
        self.hairline, self.beard = between(-44, -20), between(0, 1) < 0.3
        self.glasses = between(0, 1) < 0.25
        self.marks = [(between(-24, 24), between(-10, 30), between(1, 3)) for _ in range(3)]

    def draw(self, rng: np.random.Generator) -> UInt8Array:
        """One photograph of this person."""
        scale = 4  # drawn large, reduced by area: smooth edges
        size = CROP_SIZE_PX * scale
        image = np.empty((size, size, 3), np.float32)
        image[:] = rng.uniform(0, 255, 3)
        turn = rng.normal(0, 3)  # of the features across the face, as by yaw

        def at(x: float, y: float) -> tuple[int, int]:
            return round((_MIDDLE + x) * scale), round((_MIDDLE + y) * scale)

        def ellipse(x: float, y: float, a: float, b: float, colour: np.ndarray) -> None:
            cv2.ellipse(image, at(x, y), (round(a * scale), round(b * scale)), 0, 0, 360,
                        colour.tolist(), -1)  # fmt: skip

        ellipse(0, -6, self.width + 6, self.height + 8, self.hair)
        ellipse(0, 4, self.width, self.height, self.skin)
        cv2.rectangle(image, at(-self.width, -56), at(self.width, self.hairline),
                      self.hair.tolist(), -1)  # fmt: skip
        if self.beard:
            ellipse(0, self.mouth_y + 6, self.width * 0.75, 16, self.hair)
        for x, y, radius in self.marks:
            ellipse(x + turn, y, radius, radius, self.skin * 0.5)
        openness = self.eye_open * rng.uniform(0.5, 1.2)
        for side in (-1, 1):
            x = side * self.eye_apart + turn
            ellipse(x, self.eye_y, self.eye_size, openness, np.full(3, 245.0))
            ellipse(x, self.eye_y, min(openness, self.eye_size * 0.6), openness, self.iris)
            left, right = x - self.eye_size, x + self.eye_size
            lift = self.eye_y - self.brow_lift + rng.normal(0, 0.7)
            cv2.line(image, at(left, lift + side * self.brow_slope / 2),
                     at(right, lift - side * self.brow_slope / 2), self.hair.tolist(),
                     self.brow_thick * scale)  # fmt: skip
            if self.glasses:
                cv2.circle(image, at(x, self.eye_y), round((self.eye_size + 4) * scale),
                           (20, 20, 20), 2 * scale // 2)  # fmt: skip
        tip, tip_y = turn * 1.6, self.eye_y + self.nose_long
        nose = [
            at(turn, self.eye_y + 2),
            at(tip - self.nose_wide, tip_y),
            at(tip + self.nose_wide, tip_y),
        ]
        cv2.fillConvexPoly(image, np.asarray(nose, np.int32), (self.skin * 0.8).tolist())
        smile = rng.normal(0, 4)
        mouth = [at(turn - self.mouth_wide, self.mouth_y), at(turn, self.mouth_y + smile),
                 at(turn + self.mouth_wide, self.mouth_y)]  # fmt: skip
        cv2.polylines(image, [np.asarray(mouth, np.int32)], False, self.lips.tolist(),
                      self.mouth_thick * scale)  # fmt: skip
        return _photograph(image, rng)


def _photograph(image: np.ndarray, rng: np.random.Generator) -> UInt8Array:
    """Moves, lights and reduces a drawing."""
    size = len(image)
    middle = (size / 2, size / 2)
    matrix = cv2.getRotationMatrix2D(middle, rng.normal(0, 5), rng.normal(1, 0.04))
    shift = rng.normal(0, 0.015 * size, (2, 1))
    matrix = np.asarray(matrix, np.float64) + np.concatenate([np.zeros((2, 2)), shift], axis=1)
    image = cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    image = cv2.resize(image, (CROP_SIZE_PX, CROP_SIZE_PX), interpolation=cv2.INTER_AREA)
    along = np.linspace(-1, 1, CROP_SIZE_PX)
    slope = rng.normal(0, 0.15, 2)
    light = rng.uniform(0.8, 1.15) * (1 + slope[0] * along[None, :] + slope[1] * along[:, None])
    balance = rng.normal(1, 0.06, 3)
    lit = image * light[..., None] * balance + rng.normal(0, 3, image.shape)
    return np.asarray(np.clip(np.rint(lit), 0, 255), dtype=np.uint8)
