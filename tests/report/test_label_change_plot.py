from __future__ import annotations

import re
from dataclasses import replace

from fiqa_fast.evaluation.result import LabelChangeRecord
from fiqa_fast.report.label_change_plot import draw_label_change, label_change_plots

RECORD = LabelChangeRecord("LFW", "raw", "opt", 3, 1 / 3, -0.5, (0.0, 0.5, 1.0), (0.0, 1.0, 0.5))


def test_points_stand_where_their_ranks_are() -> None:
    (plot,) = label_change_plots([RECORD])
    drawing = str(draw_label_change(plot).drawing)

    (path,) = re.findall(r'class="points" d="([^"]*)"', drawing)
    points = [tuple(map(float, p.split())) for p in re.findall(r"M([\d. ]+)h0", path)]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert len(points) == path.count("M") == 3
    # Upwards is less, as in all pictures.
    assert x0 < x1 < x2
    assert y1 < y2 < y0
    assert abs((x0 + x2) / 2 - x1) < 0.1
    assert abs((y0 + y1) / 2 - y2) < 0.1
    (line,) = re.findall(r'class="level">.*?d="M([\d.]+) ([\d.]+)l([\d.]+) -([\d.]+)"', drawing)
    assert (float(line[0]), float(line[1])) == (x0, y0)
    assert x0 + float(line[2]) == x2
    assert y0 - float(line[3]) == y1


def test_the_caption_says_how_much_moved() -> None:
    (plot,) = label_change_plots([RECORD])
    assert plot.caption == "3 samples, 33.3% of them moved; Spearman's rho \u22120.500."
    assert plot.options == {"Data set": "LFW", "Labels": "raw \u2192 opt"}

    (thinned,) = label_change_plots([replace(RECORD, count=5000, spearman=None)])
    assert thinned.caption.startswith("5,000 samples")
    assert thinned.caption.endswith("rho none; 3 drawn by chance.")


def test_names_are_text_and_long_ones_are_shortened_along_the_axes() -> None:
    (plot,) = label_change_plots([replace(RECORD, before="<b>&", after="x" * 300)])
    drawing = str(draw_label_change(plot).drawing)

    assert "<b>" not in drawing
    assert "rank by &lt;b&gt;&amp;" in drawing
    assert f"rank by {'x' * 31}\u2026<" in drawing
