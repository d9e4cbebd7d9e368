import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols import text_columns
from fiqa_fast.evaluation.protocols.base import Protocol, TemplateProtocol
from fiqa_fast.evaluation.protocols.csv_file import read_csv, read_pair_csv


def _write(folder, text, name="set.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_columns_in_any_order(tmp_path):
    text = "comparison_score,mated,note,sample_b,sample_a\n.5,true,x,b,a\n-1e-3,0,y,c,a\n"
    found = read_csv(_write(tmp_path, text))
    assert isinstance(found, Protocol)
    assert found.samples == ("a", "b", "c")
    assert [found.samples[i] for i in found.sample_a] == ["a", "a"]
    assert [found.samples[i] for i in found.sample_b] == ["b", "c"]
    assert found.mated.tolist() == [True, False]
    assert found.comparison_scores.tolist() == [0.5, -0.001]
    assert found.comparison_scores.dtype == np.float64
    assert found.sources == ()
    assert found.name == "set"


def test_names_may_be_quoted_and_hold_anything(tmp_path):
    text = '\ufeffsample_a,sample_b,mated\n"a, ""b""",\u00fcb er,1\n'
    assert read_csv(_write(tmp_path, text)).samples == ('a, "b"', "\u00fcb er")
    assert read_csv(tmp_path / "set.csv").comparison_scores is None


def test_images_beside_the_file_are_its_sources(make_images):
    root = make_images("a.png", "x/b.png")
    path = _write(root, "sample_a,sample_b,mated\na.png,x/b.png,1\n")
    assert list(read_csv(path).sources) == [f"{root}/a.png", f"{root}/x/b.png"]
    path.write_text("sample_a,sample_b,mated\nb.png,c.png,1\n")
    assert read_csv(path).sources == ()
    assert list(read_csv(path, image_root=root).sources) == []
    path.write_text("sample_a,sample_b,mated\na.png,c.png,1\n")
    with pytest.raises(InvalidArgumentError, match=r"1 without a file: c\.png; put"):
        read_csv(path)


def test_blocks_make_no_difference(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    names = [f"sample {i}" for i in range(40)]
    a, b = (generator.integers(0, 20, 3000) + shift for shift in (0, 20))
    mated = a % 3 == b % 3
    lines = (f"{names[i]},{names[j]},{int(m)}\n" for i, j, m in zip(a, b, mated, strict=True))
    path = _write(tmp_path, "sample_a,sample_b,mated\n" + "".join(lines))
    monkeypatch.setattr(text_columns, "_BLOCK_BYTES", 1000)
    found = read_pair_csv(path)
    assert len(found.samples) == 40
    assert [found.samples[i] for i in found.sample_a] == [names[i] for i in a]
    assert [found.samples[i] for i in found.sample_b] == [names[i] for i in b]
    assert (found.mated == mated).all()
    assert found.sample_a.dtype == np.int32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got an empty file"),
        ("sample_a,sample_b\na,b\n", "got sample_a,sample_b; give it a header with mated"),
        ("sample_a,sample_b,mated,mated\na,b,1,1\n", "each once"),
        ("sample_a,sample_b,mated\n", "one comparison or more"),
        ("sample_a,sample_b,mated\na,b,1\nc,d,maybe\n", "Row #3.*'maybe'"),
        ("sample_a,sample_b,mated\na,b,\n", "Row #2"),
        ("sample_a,sample_b,mated\na,b\n", "Row #2: Expected 3 columns, got 2"),
        ("sample_a,sample_b,mated\na,,1\n", "got an empty one"),
        ("sample_a,sample_b,mated\na,a,1\n", "with itself: a"),
        ("sample_a,sample_b,mated\na,b,1\nb,a,0\n", "that are both"),
        ("sample_a,sample_b,mated,comparison_score\na,b,1,nan\n", "got comparison 1 with nan"),
        ("sample_a,sample_b,mated,comparison_score\na,b,1,inf\n", "got comparison 1 with inf"),
        ("sample_a,sample_b,mated,comparison_score\na,b,1,high\n", "Row #2.*'high'"),
        ("sample_a,sample_b,mated,comparison_score\na,b,1,\n", "Row #2"),
    ],
)
def test_wrong_files(tmp_path, text, said):
    with pytest.raises(InvalidArgumentError, match=said):
        read_csv(_write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidArgumentError, match="a readable text file"):
        read_csv(tmp_path / "none.csv")
    (tmp_path / "set.csv").write_bytes(b"sample_a,sample_b,mated\n\xff\xfe,b,1\n")
    with pytest.raises(InvalidArgumentError, match=r"set\.csv"):
        read_csv(tmp_path / "set.csv")


@pytest.mark.parametrize("medium", [True, False])
def test_templates(tmp_path, medium):
    rows = [("t1", "a", "m1"), ("t1", "b", "m1"), ("t2", "b", "m2"), ("t2", "c", "m1")]
    header = "template,sample,medium\n" if medium else "sample,template\n"
    lines = (",".join(row if medium else (row[1], row[0])) + "\n" for row in rows)
    _write(tmp_path, header + "".join(lines), "templates.csv")
    text = "template_a,template_b,mated,comparison_score\nt2,t1,1,.25\n"
    found = read_csv(_write(tmp_path, text))
    assert isinstance(found, TemplateProtocol)
    assert (found.templates, found.samples) == (("t1", "t2"), ("a", "b", "c"))
    assert found.template_of.tolist() == [0, 0, 1, 1]
    assert found.template_sample.tolist() == [0, 1, 1, 2]
    assert found.media_of.tolist() == ([0, 0, 1, 0] if medium else [0, 1, 1, 2])
    assert (found.template_a.tolist(), found.template_b.tolist()) == ([1], [0])
    assert found.comparison_scores.tolist() == [0.25]
    assert found.landmarks is None


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (None, "a readable text file, got .*templates.csv"),
        ("template,image\nt1,a\n", "a header with sample"),
        ("template,sample\nt1,a\n", "got 1 comparisons of others: t2; add"),
        ("template,sample\n", "comparisons of others: t1; add"),
        ("template,sample\nt1,a\nt2,\n", "got an empty one"),
    ],
)
def test_templates_without_members(tmp_path, members, said):
    if members is not None:
        _write(tmp_path, members, "templates.csv")
    with pytest.raises(InvalidArgumentError, match=said):
        read_csv(_write(tmp_path, "template_a,template_b,mated\nt1,t2,1\n"))
