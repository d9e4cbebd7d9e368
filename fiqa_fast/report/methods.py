"""The methods of an evaluation: their names on the page, and the numbers of their line styles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fiqa_fast.evaluation.result import CurveRecord, EvaluationResult
from fiqa_fast.report.text import make_printable


class MethodNames:
    """Names the methods; a method has one name, one number and one style on the whole page."""

    def __init__(self, result: EvaluationResult) -> None:
        networks: defaultdict[str, set[str]] = defaultdict(set)
        for curve in result.curves:
            networks[curve.method].add(curve.quality_network)
        self._ambiguous = {method for method, found in networks.items() if len(found) > 1}
        others = [record.method for record in result.ladder]
        names = [*(self.of_curve(curve) for curve in result.curves), *map(make_printable, others)]
        self._numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}

    def of_curve(self, curve: CurveRecord) -> str:
        """The method; with the network that it ran on, where it ran on several."""
        if curve.method in self._ambiguous:
            network = curve.quality_network or "no network"
            return make_printable(f"{curve.method} on {network}")
        return make_printable(curve.method)

    def number(self, name: str) -> int:
        """Number of a name that `of_curve` gave, or that stands in the ladder."""
        return self._numbers[name]

    def numbered(self, names: Iterable[str]) -> list[tuple[int, str]]:
        """Distinct names with their numbers, in the page's order."""
        return sorted((self._numbers[name], name) for name in set(names))
