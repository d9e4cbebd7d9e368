from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.evaluation.published import PublishedValue
from fiqa_fast.evaluation.result import EvaluationResult, read_result, write_result
from fiqa_fast.report.evaluation_page import write_evaluation_report

VOID_ELEMENTS = {"meta", "input"}
SECTIONS = [
    "edc",
    "areas",
    "paired-tests",
    "papers",
    "error-rates",
    "templates",
    "runtimes",
    "ladder",
    "distributions",
    "agreements",
    "label-changes",
    "comparisons",
]


class Page(HTMLParser):
    """Elements of a page with their attributes, and its text; checks that elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., str]:
    """Writes a report of evaluations and reads it."""

    def write(*results: EvaluationResult, table: Any = None, **changes: Any) -> str:
        destination = tmp_path / "report.html"
        options = {"title": "Title"} | changes
        write_evaluation_report(results, table, destination, **options)
        return destination.read_text(encoding="utf-8")

    return write


def test_every_section_is_there_and_listed(report: Any, make_evaluation: Any) -> None:
    page = Page(report(make_evaluation()))

    assert [h["id"] for h in page.all("h2") if h["id"] != "caveats"] == SECTIONS
    assert [a["href"] for a in page.all("a")] == [f"#{anchor}" for anchor in SECTIONS]


@pytest.mark.parametrize(
    ("field", "section"),
    [
        ("curves", "edc"),
        ("error_rates", "error-rates"),
        ("distributions", "distributions"),
        ("agreements", "agreements"),
        ("paired_tests", "paired-tests"),
        ("templates", "templates"),
        ("runtimes", "runtimes"),
        ("ladder", "ladder"),
        ("label_changes", "label-changes"),
    ],
)
def test_a_section_needs_its_data(
    report: Any, make_evaluation: Any, field: str, section: str
) -> None:
    whole = make_evaluation(methods=("a", "b"), data_sets=("LFW",))
    alone = EvaluationResult("t", **{field: getattr(whole, field)})

    found = {h["id"] for h in Page(report(alone)).all("h2")}
    assert section in found
    assert found <= {section, "areas", "papers", "comparisons", "caveats"}

    found = {h["id"] for h in Page(report(replace(whole, **{field: ()}))).all("h2")}
    assert section not in found


def test_an_empty_evaluation_says_so(report: Any) -> None:
    assert "holds nothing to show" in report(EvaluationResult("t"))


def test_nothing_is_loaded_from_elsewhere(report: Any, make_evaluation: Any) -> None:
    html = report(make_evaluation())
    page = Page(html)

    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "href", "xlink:href", "srcset", "action"}
    ]
    assert all(value.startswith("#") for value in references)
    assert not re.search(r"@import|url\((?!#)", html)
    assert set(re.findall(r"https?:[^\"]*", html)) == {"http://www.w3.org/2000/svg"}  # a name
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none';")
    assert "unsafe-inline" not in policy["content"].split("script-src")[1]


HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "{{ 7 * 7 }}",
    "a\nb\x01",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_nothing_else(report: Any, make_evaluation: Any, name: str) -> None:
    result = make_evaluation(methods=(name, "other"), data_sets=(name,))
    result = replace(result, settings={name: name}, notes=(name,))
    page = Page(report(result, title=name))

    assert len(page.all("script")) == 1
    assert page.all("img") == []
    shown = name.replace("\n", "\ufffd").replace("\x01", "\ufffd")
    assert "".join(page.text).count(shown) > 20
    assert shown in {
        json.loads(c["data-options"]).get("Data set")
        for c in page.all("figure")
        if c.get("data-options")
    }


def test_notes_and_warnings_stand_at_the_head(report: Any, make_evaluation: Any) -> None:
    html = report(make_evaluation(data_sets=("LFW", "CFP-FP")))

    assert html.index("XQLFW holds 6,000 comparisons") < html.index('id="edc"')
    # Eight methods have it on two curves each; it is said once.
    assert html.count("the curve moves in large steps") == 1


def test_all_figures_of_a_group_have_the_same_options(report: Any, make_evaluation: Any) -> None:
    page = Page(report(make_evaluation()))

    options = [json.loads(f["data-options"]) for f in page.all("figure") if "data-options" in f]
    edc = [o for o in options if "Operating point" in o]
    assert len(edc) == 12
    assert len({tuple(o) for o in edc}) == 1
    assert len({tuple(o.values()) for o in edc}) == 12


def test_identifiers_are_unique_and_references_lead_somewhere(
    report: Any, make_evaluation: Any, make_table: Any, scored: Any
) -> None:
    html = report(make_evaluation(), table=make_table([scored("a.jpg", 1.0)]))
    page = Page(html)

    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    references = set(re.findall(r'href="#([^"]+)"', html)) | set(
        re.findall(r"url\(#([^)]+)\)", html)
    )
    labels = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert references | labels <= set(ids)


def test_best_values_and_verdicts_are_words_too(report: Any, make_evaluation: Any) -> None:
    html = report(make_evaluation())

    assert '<span class="unseen"> (best)</span></strong>' in html
    assert '<span class="unseen">, better than random</span>' in html
    assert '<span class="unseen">, not better than random</span>' in html


def test_a_table_of_scores_adds_contact_sheets(
    report: Any, make_evaluation: Any, make_table: Any, scored: Any, photo: Path
) -> None:
    rows = [
        scored(str(photo), 1.0, scorer=scorer, output="score") for scorer in ("faceqan", "ser_fiq")
    ]
    result = make_evaluation()
    page = Page(report(result, table=make_table(rows)))

    ids = [h["id"] for h in page.all("h2")]
    assert ids[-2:] == ["summary", "faces"]
    assert "agreement" not in ids  # that of the evaluation stands there
    assert len(page.all("use")) == 2
    assert {"href": "#faces"} in page.all("a")

    without = report(replace(result, agreements=()), table=make_table(rows))
    assert "agreement" in [h["id"] for h in Page(without).all("h2")]


def test_a_table_of_scores_adds_strips_of_faces(
    report: Any, make_evaluation: Any, make_table: Any, scored: Any, photo: Path
) -> None:
    rows = [
        scored(str(path), float(number), scorer=scorer, output="score")
        for number, path in enumerate((photo, photo.with_name("person_b_1.jpg")))
        for scorer in ("faceqan", "ser_fiq")
    ]
    html = report(make_evaluation(), table=make_table(rows))
    page = Page(html)

    assert [h["id"] for h in page.all("h2")][-3:] == ["summary", "ranking", "faces"]
    assert {"href": "#ranking"} in page.all("a")
    assert len(page.all("image")) == 2
    assert len(page.all("use")) == 8  # two methods, on strips and on contact sheets
    assert html.count("Rank 100% of faceqan: face 0 of person_a_2.jpg") == 1  # lower is better


def test_labels_before_and_after_are_chosen_by_data_set(report: Any, make_evaluation: Any) -> None:
    page = Page(report(make_evaluation(methods=("a", "b"), data_sets=("LFW", "XQLFW"))))

    options = [json.loads(f["data-options"]) for f in page.all("figure") if "data-options" in f]
    scatters = [o for o in options if "Labels" in o]
    assert [o["Data set"] for o in scatters] == ["LFW", "XQLFW"]
    assert {o["Labels"] for o in scatters} == {"a \u2192 b"}
    assert len(page.all("svg", **{"class": "chart scatter"})) == 2


def test_several_runs_stand_on_one_page(report: Any, make_evaluation: Any) -> None:
    a = make_evaluation(methods=("froq",), data_sets=("LFW",))
    b = make_evaluation(methods=("froq",), data_sets=("LFW",), seed=9)
    html = report(a, b, run_names=("one", "two"))

    assert "froq (one)" in html
    assert "froq (two)" in html


def test_published_values_stand_beside_measured_ones(report: Any, make_evaluation: Any) -> None:
    result = make_evaluation(methods=("froq", "froq+opt"), data_sets=("LFW",), fmrs=(0.001,))
    value = PublishedValue(
        "<b>P</b>", "Table 1", "LFW", "FROQ", "SFace", "auc_normalised", 0.001, 0.95, 0.4321, "s"
    )
    html = report(replace(result, templates=()), published=(value,))

    relative = "<i>0.4321\N{MULTIPLICATION SIGN}</i><sup>a</sup>"
    # In tables of plain areas as shares of random discarding; in normalised ones as they are.
    assert html.count(relative) == 2  # as GraFIQs and as CR-FIQA arrange them
    assert html.count("<i>0.4321</i><sup>a</sup>") == 2  # as CLIB-FIQA does, by both rules
    assert html.count("<sup>a</sup> &lt;b&gt;P&lt;/b&gt;, Table 1.") == 4
    assert re.search(r'<span class="under">[+\u2212]\d+\.\d%</span>', html)
    assert "In the layout of GraFIQs, Tables 2 and 3: area under the FNMR EDC" in html


def test_runs_need_names_of_their_own(report: Any, make_evaluation: Any) -> None:
    result = make_evaluation(methods=("froq",), data_sets=("LFW",))

    with pytest.raises(InvalidArgumentError, match="2 distinct names"):
        report(result, result)
    with pytest.raises(InvalidArgumentError, match="run_names"):
        report(result, run_names=("one", "two"))


def test_numbers_that_are_none_never_reach_the_page(report: Any, make_evaluation: Any) -> None:
    nan, inf = float("nan"), float("inf")
    result = make_evaluation(methods=("a", "b"), data_sets=("LFW",))
    curves = [
        replace(
            curve,
            error_rate=(nan, *curve.error_rate[1:-1], inf),
            areas=tuple(
                replace(a, value=nan, normalised=inf, low=nan, high=inf) for a in curve.areas
            ),
        )
        for curve in result.curves
    ]
    ladder = [replace(r, mean_rank=(nan,) * len(r.levels), spearman=nan) for r in result.ladder]
    rates = [replace(r, eer=nan, det_fmr=(nan,) * len(r.det_fmr)) for r in result.error_rates]
    broken = replace(result, curves=tuple(curves), ladder=tuple(ladder), error_rates=tuple(rates))

    html = report(broken)

    body = html[html.index("<body>") : html.index("<script>")]
    assert not re.search(r"\b(nan|inf|infinity)\b", body, re.IGNORECASE)


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": ("only",)},
        {"data_sets": ("LFW",)},
        {"methods": ("only",), "data_sets": ("LFW",), "fmrs": (0.001,)},
        {"methods": ("m" * 400, "n" * 400), "data_sets": ("d" * 300,)},
    ],
    ids=["one method", "one data set", "one of all", "long names"],
)
def test_small_and_odd_evaluations(
    report: Any, make_evaluation: Any, changes: dict[str, Any]
) -> None:
    Page(report(make_evaluation(**changes)))


def test_curves_of_two_points(report: Any, make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a", "b"), data_sets=("LFW",))
    curves = tuple(
        replace(curve, discard_fraction=(0.0, 1.0), error_rate=(0.1, 0.0))
        for curve in result.curves
    )
    page = Page(report(replace(result, curves=curves)))

    assert page.all("svg", **{"class": "chart large"})


def test_empty_histograms_are_left_out(report: Any, make_evaluation: Any) -> None:
    result = make_evaluation(methods=("a",), data_sets=("LFW",))
    empty = replace(result.distributions[0], counts=(), edges=())

    html = report(replace(result, distributions=(empty,)))

    assert "distributions" not in [h["id"] for h in Page(html).all("h2")]


def test_the_page_of_forty_methods_is_bounded(report: Any, make_evaluation: Any) -> None:
    html = report(make_evaluation(methods=[f"method-{i}" for i in range(40)]))

    assert len(html) < 4_000_000


def test_a_result_that_was_written_and_read_gives_the_same_page(
    report: Any, make_evaluation: Any, tmp_path: Path
) -> None:
    result = make_evaluation(methods=("a", "b"))
    write_result(result, tmp_path / "evaluation.json")

    assert report(read_result(tmp_path / "evaluation.json")) == report(result)


def test_a_folder_that_does_not_exist_is_named(make_evaluation: Any, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"nowhere/report\.html"):
        write_evaluation_report(
            [make_evaluation(methods=("a",))], None, tmp_path / "nowhere/report.html", title=""
        )
