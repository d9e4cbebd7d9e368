from __future__ import annotations

import itertools

import numpy as np
import pytest

from fiqa_fast.report.line_styles import DARK, LIGHT, line_style, style_rules

# How people see without one kind of cone: G. M. Machado et al., IEEE TVCG 15(6), 2009, severity 1.
NORMAL = np.eye(3)
PROTANOPIA = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)


def linear(colour: str) -> np.ndarray:
    part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    high, low = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b)), reverse=True)
    return float((high + 0.05) / (low + 0.05))


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", [NORMAL, PROTANOPIA, DEUTERANOPIA])
def test_colours_can_be_told_apart(palette: tuple[str, ...], sight: np.ndarray) -> None:
    seen = [lab(sight @ linear(colour)) for colour in palette]

    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 10


@pytest.mark.parametrize(("palette", "card"), [(LIGHT, "#ffffff"), (DARK, "#1c1f24")])
def test_colours_stand_out_from_the_card(palette: tuple[str, ...], card: str) -> None:
    assert min(contrast(colour, card) for colour in palette) >= 3


def test_forty_methods_differ_without_their_colour() -> None:
    assert len({(style.dash, style.marker) for style in map(line_style, range(40))}) == 40
    assert len(set(map(line_style, range(320)))) == 320


def test_every_class_has_its_rule() -> None:
    rules = style_rules()
    for style in map(line_style, range(40)):
        colour, dash = style.css_classes.split()
        assert f".{colour}{{" in rules
        assert style.dash == 0 or f".{dash} " in rules
