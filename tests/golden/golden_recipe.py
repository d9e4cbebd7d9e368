"""The weights behind the golden numbers of networks whose own weights cannot be had: a recipe.

The rule itself stands in the package, where the benchmarks use it too; README.md has it in words.
"""

from fiqa_fast.benchmark.recipe_weights import SEED, backbone, state_dict

__all__ = ["SEED", "backbone", "state_dict"]
