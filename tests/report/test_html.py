from __future__ import annotations

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fiqa_fast.errors import InvalidArgumentError, ResultsError
from fiqa_fast.report import write_report

VOID_ELEMENTS = {"meta"}


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
def report(tmp_path: Path, make_table: Any) -> Callable[..., str]:
    """Writes a report of rows and reads it."""

    def write(rows: list[dict[str, Any]], **changes: Any) -> str:
        destination = tmp_path / "report.html"
        options = {"title": "Title", "settings": {}} | changes
        write_report(make_table(rows), destination, **options)
        assert [path.name for path in tmp_path.glob("*report*")] == ["report.html"]
        return destination.read_text(encoding="utf-8")

    return write


def test_a_thumbnail_is_stored_once_for_all_scorers(report: Any, scored: Any, photo: Path) -> None:
    names = [("grafiqs", "b2"), ("faceqan", "score"), ("ser_fiq", "score")]
    page = Page(report([scored(str(photo), 1.0, scorer=s, output=o) for s, o in names]))

    assert len(page.all("image")) == 1
    assert [use["href"] for use in page.all("use")] == ["#f0"] * 3
    assert page.all("symbol") == [{"id": "f0", "viewbox": "0 0 112 112"}]


def test_every_picture_shown_is_stored(
    report: Any, scored: Any, photo: Path, tmp_path: Path
) -> None:
    """Also where a photograph before it has vanished."""
    other = photo.with_name("person_b_1.jpg")
    paths = [tmp_path / "gone.jpg", photo, other]
    page = Page(report([scored(str(path), float(i)) for i, path in enumerate(paths)]))

    stored = {f"#{symbol['id']}" for symbol in page.all("symbol")}
    assert stored == {use["href"] for use in page.all("use")} == {"#f1", "#f2"}
    (missing,) = page.all("div", **{"class": "face missing"})
    assert "gone.jpg" in missing["title"]


def test_strips_show_faces_that_no_contact_sheet_shows(
    report: Any, scored: Any, photo: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(23)]
    for path in paths:
        path.symlink_to(photo)
    names = [("grafiqs", "b2"), ("faceqan", "score")]
    rows = [scored(str(path), float(i), scorer=s, output=o) for s, o in names
            for i, path in enumerate(paths)]  # fmt: skip
    page = Page(report(rows, max_faces=2))

    stored = [f"#{symbol['id']}" for symbol in page.all("symbol")]
    assert len(stored) == len(set(stored)) == len(page.all("image")) == 10
    shown = [use["href"] for use in page.all("use")]
    assert len(shown) == 2 * 10 + 2 * 2  # strips and contact sheets of two outputs
    assert set(shown) == set(stored)
    text = "".join(page.text)
    for percent in (0, 9, 23, 32, 45, 55, 68, 77, 91, 100):
        assert f"{percent}%" in text
    assert "ranking" in [h.get("id") for h in page.all("h2")]


def test_a_single_face_is_no_strip(report: Any, scored: Any, photo: Path) -> None:
    page = Page(report([scored(str(photo), 1.0)]))

    assert "ranking" not in [h.get("id") for h in page.all("h2")]


def test_nothing_is_loaded_from_elsewhere(report: Any, scored: Any, photo: Path) -> None:
    html = report([scored(str(photo), 1.0)])
    page = Page(html)

    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "href", "xlink:href", "srcset", "action"}
    ]
    assert references
    assert all(value.startswith(("#", "data:image/webp;base64,")) for value in references)
    assert not re.search(r"@import|url\(|https?:", html)
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none';")


HOSTILE = [
    "<script>alert(1)</script>.jpg",
    "\"><img src=x onerror=alert(1)>'.jpg",
    "{{ 7 * 7 }}.jpg",
    "&lt;b&gt;.jpg",
    "new\nline\x01.jpg",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_nothing_else(report: Any, scored: Any, failed: Any, name: str) -> None:
    rows = [scored(name, 1.0, quality=None, quality_reason=name), failed(name, name, name)]
    page = Page(report(rows, title=name, settings={name: name}))

    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.all("b") == []
    shown = name.replace("\n", "\ufffd").replace("\x01", "\ufffd")
    text = "".join(page.text)
    assert text.count(shown) >= 6  # title twice, setting twice, path, reason, note
    assert page.all("div", title=shown)


def test_names_that_are_not_utf8_do_not_stop_the_report(report: Any, scored: Any) -> None:
    html = report([scored("a.jpg", 1.0)], title="caf\udce9", settings={"from": "/\udcff"})

    assert "caf\ufffd" in html
    assert "/\ufffd" in html


def test_faces_stand_from_best_to_worst(report: Any, scored: Any) -> None:
    rows = [scored(f"{q}.jpg", 1.0, quality=float(q), face_index=2) for q in (40, 90, 10)]
    html = report(rows)

    assert re.findall(r"<strong>(.*?)</strong>", html) == ["90.0", "40.0", "10.0"]
    assert re.findall(r"<bdi>(.*?)</bdi>", html) == ["90.jpg", "40.jpg", "10.jpg"]
    assert html.count("face 2<") == 3
    assert "Ranked by quality" in html


def test_without_quality_the_raw_score_ranks(report: Any, scored: Any) -> None:
    rows = [
        scored(f"{raw}.jpg", float(raw), quality=None, quality_reason="no calibration fits")
        for raw in (2, 1, 3)
    ]
    html = report(rows)

    assert re.findall(r"<bdi>(.*?)</bdi>", html) == ["1.jpg", "2.jpg", "3.jpg"]
    assert "Ranked by raw score" in html
    assert "No face has a quality: no calibration fits." in html
    assert html.count('<svg class="histogram"') == 1


def test_of_many_faces_the_middle_is_left_out(report: Any, scored: Any) -> None:
    html = report([scored(f"{q}.jpg", 1.0, quality=float(q)) for q in range(9)], max_faces=4)

    assert re.findall(r"<bdi>(.*?)</bdi>", html) == ["8.jpg", "7.jpg", "1.jpg", "0.jpg"]
    assert "5 faces between these left out" in html
    assert re.findall(r'<ol class="faces" start="(\d+)"', html) == ["1", "8"]


def test_tabs_name_their_panels(report: Any, scored: Any) -> None:
    names = [("grafiqs", "mse_bns"), ("grafiqs", "b2"), ("faceqan", "score")]
    page = Page(report([scored("a.jpg", 1.0, scorer=s, output=o) for s, o in names]))

    tabs = page.all("button", role="tab")
    assert [tab["aria-controls"] for tab in tabs] == ["panel-1", "panel-2", "panel-3"]
    assert [tab["aria-selected"] for tab in tabs] == ["true", "false", "false"]
    panels = page.all("section", role="tabpanel")
    assert [panel["aria-labelledby"] for panel in panels] == [tab["id"] for tab in tabs]
    text = "".join(page.text)
    assert text.index("grafiqs/b2") < text.index("faceqan") < text.index("grafiqs/mse_bns")


def test_one_output_needs_no_tabs_and_no_agreement(report: Any, scored: Any) -> None:
    page = Page(report([scored("a.jpg", 1.0)]))

    assert page.all("button") == []
    assert "Agreement" not in "".join(page.text)


def test_pictures_are_described(report: Any, scored: Any, photo: Path) -> None:
    page = Page(report([scored(str(photo), 1.0)]))

    described = page.all("svg", role="img")
    assert len(described) == 3  # the face and two histograms
    assert all(svg["aria-label"] for svg in described)


@pytest.mark.parametrize("count", [1, 3])
def test_equal_scores(report: Any, scored: Any, count: int) -> None:
    html = report([scored(f"{i}.jpg", 2.5) for i in range(count)])

    assert html.count("<li>") == count
    assert not re.search(r"\b(nan|inf)\b", html, re.IGNORECASE)


def test_no_scored_face(report: Any, failed: Any) -> None:
    html = report([failed("a.jpg", "no_face", "nothing found")])

    assert "No face was scored." in html
    assert "nothing found" in html
    Page(html)


def test_no_row_at_all(report: Any) -> None:
    assert "No face was scored." in report([])


def test_failures_are_counted_and_the_list_is_bounded(report: Any, failed: Any) -> None:
    html = report([failed(f"{i:05}.jpg", "no_face", "nothing found") for i in range(1001)])

    assert html.count('<td class="text">no_face</td>') == 1000
    assert "no_face: 1,001" in html
    assert "The first 1,000 of 1,001" in html


def test_a_large_table_is_read_quickly(tmp_path: Path, make_table: Any, scored: Any) -> None:
    """Thumbnails and tiles are made for the faces shown only."""
    small = make_table([scored(f"{i}.jpg", float(i), quality=i % 100 / 1.0) for i in range(1000)])
    table = small.take([i % 1000 for i in range(200_000)])
    table = table.set_column(1, "face_index", [[i // 1000 for i in range(200_000)]])
    started = time.perf_counter()

    write_report(table, tmp_path / "r.html", title="Large", settings={}, max_faces=50)

    assert time.perf_counter() - started < 20  # under 2 s on an idle machine
    assert "200,000" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_same_table_gives_the_same_page(report: Any, scored: Any, photo: Path) -> None:
    rows = [scored(str(photo), 1.0), scored("b.jpg", 2.0)]

    assert report(rows) == report(rows)


def test_a_refused_report_leaves_the_old_one(
    tmp_path: Path, make_table: Any, scored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "report.html"
    destination.write_text("old")

    def full_disk(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(ResultsError, match="No space left on device"):
        write_report(make_table([scored("a.jpg", 1.0)]), destination, title="", settings={})

    assert destination.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_does_not_exist_is_named(
    tmp_path: Path, make_table: Any, scored: Any
) -> None:
    with pytest.raises(ResultsError, match=r"nowhere/report\.html"):
        write_report(
            make_table([scored("a.jpg", 1.0)]),
            tmp_path / "nowhere" / "report.html",
            title="",
            settings={},
        )


def test_max_faces_below_one_is_refused(tmp_path: Path, make_table: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="max_faces"):
        write_report(make_table([]), tmp_path / "r.html", title="", settings={}, max_faces=0)
