import cv2
import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.explanation.picture import colour_scale, draw

# The ends of the colour map as its authors publish them, RGB.
INFERNO_FIRST, INFERNO_LAST = np.array([0, 0, 4]), np.array([252, 255, 164])
GREY = np.full((112, 112, 3), 100, np.uint8)


def _expected(colour, weight):
    return (1 - weight) * 100 + weight * colour


def test_the_face_stands_left_and_its_heat_right(crops):
    heat = np.zeros((14, 14))
    heat[:7, :7] = 3.0
    picture = draw(crops[0], heat)
    assert picture.shape == (224, 448, 3)
    assert picture.dtype == np.uint8
    shrunk = cv2.resize(picture[:, :224], (112, 112), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - crops[0]).mean() < 3
    overlay = picture[:, 224:].astype(int)
    assert overlay[:90, :90].mean() > overlay[:90, -90:].mean() + 40


def test_the_ends_of_the_scale_have_the_ends_of_the_colours():
    heat = np.zeros((56, 56))
    heat[:, 28:] = 1e-5
    overlay = draw(GREY, heat)[:, 224:]
    np.testing.assert_allclose(overlay[112, 20], _expected(INFERNO_FIRST, 0.35), atol=2)
    np.testing.assert_allclose(overlay[112, -20], _expected(INFERNO_LAST, 0.8), atol=2)


def test_the_scale_of_a_map_does_not_matter():
    heat = np.random.default_rng(0).random((28, 28))
    np.testing.assert_array_equal(draw(GREY, heat), draw(GREY, heat * 2.0**-20))


def test_a_map_of_one_value_is_low_everywhere():
    overlay = draw(GREY, np.full((7, 7), 5.0))[:, 224:]
    assert overlay.shape == (224, 224, 3)
    assert np.abs(overlay - _expected(INFERNO_FIRST, 0.35)).max() <= 2


def test_a_face_that_is_not_square_keeps_its_proportions():
    assert draw(GREY[:, :96], np.eye(12)).shape == (224, 2 * 192, 3)


def test_the_scale_leaves_out_a_hundredth_at_either_end():
    assert colour_scale(np.arange(101.0).reshape(1, 101)) == (1.0, 99.0)


@pytest.mark.parametrize(
    ("seen", "heat", "message"),
    [
        (GREY[0], np.eye(2), r"shape \[H, W, 3\] .* got \[112, 3\] of uint8"),
        (GREY / 255, np.eye(2), "of float64"),
        (GREY, np.zeros((1, 2, 2)), r"got one of \[1, 2, 2\];"),
        (GREY, np.zeros((0, 2)), r"got one of \[0, 2\];"),
        (GREY, np.array([[1.0, np.nan]]), r"got one of \[1, 2\] with NaN or infinity"),
    ],
)
def test_what_cannot_be_drawn(seen, heat, message):
    with pytest.raises(InvalidArgumentError, match=message):
        draw(seen, heat)
