import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.cfp import read_cfp
from fiqa_fast.evaluation.protocols.pair_list import read_pair_list

LFW = ("Ann_A/Ann_A_0001.jpg", "Ann_A/Ann_A_0012.jpg", "Bo/Bo_0001.jpg")


def _write(folder, text, name="pairs.txt"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _named(found):
    return [
        (found.samples[a], found.samples[b], bool(m))
        for a, b, m in zip(found.sample_a, found.sample_b, found.mated, strict=True)
    ]


@pytest.mark.parametrize("header", ["", "10\t300\n", "1 1\n", "1\n"])
@pytest.mark.parametrize("blank", ["\t", " ", "  "])
def test_lfw(make_images, header, blank):
    root = make_images(*(f"images/{name}" for name in LFW))
    lines = [["Ann_A", "1", "12"], ["Ann_A", "1", "Bo", "1"]]
    path = _write(root, header + "".join(blank.join(line) + "\r\n" for line in lines))
    found = read_pair_list(path, name="LFW")
    assert _named(found) == [(LFW[0], LFW[1], True), (LFW[0], LFW[2], False)]
    assert found.identity.tolist() == [0, 0, 1]
    assert list(found.sources) == [f"{root}/images/{name}" for name in LFW]
    assert (found.name, found.aligned) == ("LFW", False)


def test_lfw_with_other_suffixes(make_images):
    names = tuple(name.replace(".jpg", ".png") for name in LFW)
    path = _write(make_images(*names), "Ann_A 1 12\nAnn_A 12 Bo 1\n")
    assert read_pair_list(path).samples == names


def test_two_lines_for_a_pair(make_images):
    root = make_images("aligned images/a_1.jpg", "aligned images/a_2.jpg", "aligned images/b_1.jpg")
    path = _write(root, "a_1.jpg 7\na_2.jpg 7\na_1.jpg 0\nb_1.jpg 0\n")
    found = read_pair_list(path, aligned=True)
    assert _named(found) == [("a_1.jpg", "a_2.jpg", True), ("a_1.jpg", "b_1.jpg", False)]
    assert found.aligned
    assert found.identity is None


@pytest.mark.parametrize("separator", [" ", "   ", ",", ", ", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_plain_lists(make_images, separator, end):
    names = ["x/a.png", "b.png", "c.png"]
    if separator.strip(" "):
        names[1] = "b b.png"
    path = _write(
        make_images(*names),
        "".join(
            separator.join(line) + end
            for line in ((names[0], names[1], "1"), (names[2], names[0], "0"))
        ),
    )
    found = read_pair_list(path)
    assert _named(found) == [(names[0], names[1], True), (names[2], names[0], False)]


def test_the_folder_of_the_images(make_images):
    root = make_images("data/a.png", "data/b.png")
    path = _write(root, "a.png b.png 1\n", "lists/pairs.txt")
    with pytest.raises(InvalidArgumentError, match=r"a\.png of .* in one place, got none in"):
        read_pair_list(path)
    assert read_pair_list(path, image_root=root / "data").samples == ("a.png", "b.png")
    make_images("lists/one/a.png", "lists/two/a.png")
    with pytest.raises(InvalidArgumentError, match=r"lists/one/a\.png, .*lists/two/a\.png; give"):
        read_pair_list(path)


def test_missing_images_are_named(make_images):
    path = _write(make_images("a.png"), "".join(f"a.png b{i}.png 1\n" for i in range(9)))
    with pytest.raises(InvalidArgumentError, match=r"9 without a file: b0\.png.* and 6 more"):
        read_pair_list(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got none"),
        ("10 300\n", "got none"),
        ("\n \n", "got none"),
        ("one two three four five\n", "in line 1 .*path_a path_b 0|1"),
        ("Ann 1 2\nAnn 1\n", "'Ann 1' in line 2 .*the forms are LFW's"),
        ("a.png 1\nb.png 1\nc.png 0\n", "got 3 lines"),
        ("a.png 1\nb.png 0\n", "two flags in pair 1"),
        ("a.png 1\nb.png x\n", "'b.png x' in line 2"),
        ("a.png b.png 1\na.png b.png 2\n", r"Row #2.*invalid value '2'"),
        ("a.png b.png 1\na.png b.png\n", r"Row #2: Expected 3 columns, got 2"),
        ("Ann 1 Ann 2\n", "as non-mated"),
        ("a.png,,1\n", "got an empty one"),
        ("a.png b.png 1\nb.png a.png 0\n", "both: a.png with b.png"),
    ],
)
def test_other_lists(make_images, text, said):
    root = make_images("a.png", "b.png", "c.png", "Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg")
    with pytest.raises(InvalidArgumentError, match=said):
        read_pair_list(_write(root, text))


def test_lists_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidArgumentError, match="a readable text file"):
        read_pair_list(tmp_path / "none.txt")
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InvalidArgumentError, match="a readable text file"):
        read_pair_list(tmp_path / "pairs.txt")


@pytest.fixture
def cfp(make_images):
    root = make_images(
        *(f"Data/Images/{i:03d}/frontal/01.jpg" for i in (1, 2)),
        *(f"Data/Images/{i:03d}/frontal/02.jpg" for i in (1, 2)),
        *(f"Data/Images/{i:03d}/profile/01.jpg" for i in (1, 2)),
    )
    frontal = [f"{i:03d}/frontal/{j:02d}.jpg" for i in (1, 2) for j in (1, 2)]
    for letter, images in (("F", frontal), ("P", ["001/profile/01.jpg", "002/profile/01.jpg"])):
        lines = (f"{n}  ../Data/Images/{name}\n" for n, name in enumerate(images, start=1))
        _write(root, "".join(lines), f"Protocol/Pair_list_{letter}.txt")
    for kind, same, diff in (("FP", "1,1\n4,2\n", "1,2\n"), ("FF", "1,2\n", "1,3\n2,4\n")):
        _write(root, same, f"Protocol/Split/{kind}/01/same.txt")
        _write(root, diff, f"Protocol/Split/{kind}/01/diff.txt")
    return root


def test_cfp(cfp):
    found = read_cfp(cfp)
    assert [(a[12:], b[12:], m) for a, b, m in _named(found)] == [
        ("001/frontal/01.jpg", "001/profile/01.jpg", True),
        ("002/frontal/02.jpg", "002/profile/01.jpg", True),
        ("001/frontal/01.jpg", "002/profile/01.jpg", False),
    ]
    assert (found.name, found.sources[0]) == ("CFP-FP", f"{cfp}/Data/Images/001/frontal/01.jpg")
    frontal = read_cfp(cfp, kind="FF")
    assert frontal.mated.tolist() == [True, False, False]
    assert len(frontal.samples) == 4


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("Split/FP/01/same.txt", "2,2\n", "as mated"),
        ("Split/FP/01/same.txt", "1,9\n", "got 9 in line 1"),
        ("Split/FP/01/same.txt", "1 1\n", "two numbers with a comma"),
        ("Pair_list_P.txt", "1 profile.jpg\n", "got '1 profile.jpg' in line 1"),
        (
            "Pair_list_P.txt",
            "1 ../Data/Images/9/profile/1.jpg\n2 ../Data/Images/2/p/1.jpg\n",
            "a file",
        ),
    ],
)
def test_a_damaged_cfp(cfp, file, text, said):
    (cfp / "Protocol" / file).write_text(text)
    with pytest.raises(InvalidArgumentError, match=said):
        read_cfp(cfp)


def test_an_incomplete_cfp(cfp, tmp_path):
    (cfp / "Protocol/Split/FP/01/diff.txt").unlink()
    with pytest.raises(InvalidArgumentError, match="a readable text file"):
        read_cfp(cfp)
    with pytest.raises(InvalidArgumentError, match="a readable text file"):
        read_cfp(tmp_path / "none")
