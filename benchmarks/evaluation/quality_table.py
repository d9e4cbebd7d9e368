"""A table of what `fiqa-fast benchmark quality` found, in Markdown.

    fiqa-fast benchmark quality -o results/quality --all-outputs
    python benchmarks/evaluation/quality_table.py results/quality > benchmarks/results/quality.md

For every method the area under the EDC of the FNMR, divided by that of random discarding: below 1
the method helps. In brackets the 95 % interval of a bootstrap over the people; "open" where it
holds 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fiqa_fast.evaluation.result import FILE_NAME, Area, CurveRecord, read_result

LIMITS = (0.2, 0.95)


def verdict(area: Area) -> str:
    if area.normalised is None:
        return "no errors"
    low, high = area.normalised_low, area.normalised_high
    text = f"{area.normalised:.2f}"
    if low is None or high is None:
        return text
    state = "open" if low <= 1 <= high else "**better**" if high < 1 else "**worse**"
    return f"{text} [{low:.2f}, {high:.2f}] {state}"


def area_of(curve: CurveRecord, limit: float) -> Area:
    return next(area for area in curve.areas if area.limit == limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    result = read_result(parser.parse_args().run / FILE_NAME)
    points = sorted({(c.verification_network, c.fmr) for c in result.curves if c.fmr}, reverse=True)
    print("# Methods on degraded faces\n")
    for note in result.notes:
        print(f"{note}\n")
    print(
        "Area under the FNMR up to a discard fraction, over that of random discarding (1); fixed"
        " threshold. In brackets: 95 % interval by bootstrap over people.\n"
    )
    heads = [f"{net}, FMR {fmr:g}, up to {limit}" for net, fmr in points for limit in LIMITS]
    print(f"| method | {' | '.join(heads)} |")
    print(f"|---|{'---:|' * len(heads)}")
    for method in dict.fromkeys(curve.method for curve in result.curves):
        cells = [
            verdict(area_of(curve, limit))
            for point in points
            for limit in LIMITS
            for curve in result.curves
            if curve.method == method and (curve.verification_network, curve.fmr) == point
        ]
        print(f"| {method} | {' | '.join(cells)} |")
    for rates in result.error_rates:
        at = ", ".join(f"{fnmr:.3f} at FMR {fmr}" for fmr, fnmr in rates.fnmr_at_fmr.items())
        print(
            f"\n{rates.verification_network} without discarding: {rates.mated_count} mated,"
            f" {rates.non_mated_count} non-mated comparisons, EER {rates.eer:.3f}, FNMR {at}."
        )


if __name__ == "__main__":
    main()
