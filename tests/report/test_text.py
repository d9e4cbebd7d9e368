from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiqa_fast.report.text import file_name, format_number, make_printable, shorten_digest

ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=()))


@given(ANY_TEXT)
def test_any_string_becomes_storable(text: str) -> None:
    make_printable(text).encode("utf-8")


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc", "Cf"))))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert make_printable(text) == text


@pytest.mark.parametrize("character", ["\udcff", "\x00", "\n", "\x9f", "\u202e", "\u2066"])
def test_bytes_and_controls_become_replacement_characters(character: str) -> None:
    assert make_printable(f"a{character}b") == "a\ufffdb"


def test_carried_utf8_bytes_are_put_together_again() -> None:
    assert make_printable("caf\udcc3\udca9") == "café"


def test_file_name_is_the_last_part() -> None:
    assert file_name("/data/in/a b.jpg") == "a b.jpg"
    assert file_name("/") == "/"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1.000"),
        (451.26, "451.3"),
        (90844.4, "90844"),
        (0.00055671, "0.0005567"),
        (-2.5, "\N{MINUS SIGN}2.500"),
        (1e-7, "1.000e\N{MINUS SIGN}07"),
        (-1.5e9, "\N{MINUS SIGN}1.500e+09"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_only_digests_are_shortened() -> None:
    assert shorten_digest("ab" * 32) == "abababababab…"
    assert shorten_digest("a long setting that is no digest at all, as anyone can see....") == (
        "a long setting that is no digest at all, as anyone can see...."
    )
