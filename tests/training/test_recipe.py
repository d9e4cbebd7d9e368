from __future__ import annotations

from pathlib import Path

import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.recipe import CR_FIQA_L, CR_FIQA_S, RECIPES, read_recipe


def test_the_papers_recipes() -> None:
    small, large = CR_FIQA_S.loop(1000), CR_FIQA_L.loop(100)

    assert (small.steps, large.steps) == (34_000, 1800)
    assert [small.schedule.at(s) for s in (0, 20_000, 28_000, 32_000)] == pytest.approx(
        [0.1, 0.01, 0.001, 0.0001]
    )
    assert [large.schedule.at(s) for s in (0, 800, 1400)] == pytest.approx([0.1, 0.01, 0.001])
    assert RECIPES["ccs-fiqa-s-on-top"].on_top
    assert RECIPES["ccs-fiqa-s-on-top"].target == "ccs"
    assert read_recipe("cr-fiqa-l") is CR_FIQA_L


def test_a_file_changes_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "base: cr-fiqa-l\nlearning_rate: 1\nmilestone_epochs: [2, 3]\nscale: 32\nmlflow: null\n"
    )

    recipe = read_recipe(str(path))

    assert (recipe.network, recipe.learning_rate, recipe.scale) == ("iresnet100", 1.0, 32.0)
    assert recipe.milestone_epochs == (2, 3)
    assert "log_every" not in recipe.decisive()
    assert "learning_rate" in recipe.decisive()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "got 'epoch'; check the spelling"),
        ("epochs: three", "expected epochs to be of type int, got 'three'"),
        ("flip: 1", "expected flip to be of type bool, got 1"),
        ("milestone_epochs: [a]", "milestone_epochs to be of type"),
        ("base: best", "expected base to be one of cr-fiqa-s"),
        ("- 1", "expected fields and values"),
        ("a: [", "readable YAML file"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)

    with pytest.raises(InvalidArgumentError, match=message):
        read_recipe(str(path))


def test_a_missing_file_names_the_recipes() -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected a recipe \(cr-fiqa-s, cr-fiqa-l"):
        read_recipe("absent.yaml")
