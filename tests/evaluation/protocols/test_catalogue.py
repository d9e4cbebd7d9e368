import pickle

import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import TemplateProtocol
from fiqa_fast.evaluation.protocols.catalogue import DATA_SETS, Drawing, load_protocol

FOLDERS = ["1/a.png", "1/b.png", "2/a.png"]


def _write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def write_bin(tmp_path, encoded):
    def write(name):
        (tmp_path / name).write_bytes(pickle.dumps(([encoded(i) for i in range(4)], [True, False])))
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lfw.bin", "LFW"),
        ("cfp_fp.bin", "CFP-FP"),
        ("agedb_30.bin", "AgeDB-30"),
        ("calfw.bin", "CALFW"),
        ("cplfw.bin", "CPLFW"),
        ("xqlfw.bin", "XQLFW"),
    ],
)
def test_verification_files_by_name(write_bin, file, name):
    root = write_bin(file)
    for spelling in (name, name.lower(), name.replace("-", "_")):
        assert load_protocol(spelling, root).name == name
    assert load_protocol(root / file).samples[0] == f"{file[:-4]}/00000"
    assert load_protocol(name, root).aligned
    assert not load_protocol(name, root, aligned=False).aligned


def test_the_first_form_that_is_there_is_taken(write_bin, make_images):
    root = make_images("lfw/A/A_0001.jpg", "lfw/A/A_0002.jpg", "lfw/B/B_0001.jpg")
    _write(root, "lfw/pairs.txt", "1 1\nA 1 2\nA 1 B 1\n")
    found = load_protocol("lfw", root)
    assert (found.name, found.samples[0], found.aligned) == ("LFW", "A/A_0001.jpg", False)
    write_bin("lfw.bin")
    assert load_protocol("lfw", root).aligned


@pytest.mark.parametrize("name", ["calfw", "CPLFW"])
def test_lists_of_two_lines_with_aligned_images(make_images, name):
    folder = name.lower()
    root = make_images(*(f"{folder}/aligned images/{i}.jpg" for i in "abc"))
    make_images(f"{folder}/images&landmarks/a.jpg")
    _write(root, f"{folder}/pairs_{name.upper()}.txt", "a.jpg 1\nb.jpg 1\na.jpg 0\nc.jpg 0\n")
    found = load_protocol(name, root)
    assert found.aligned
    assert found.mated.tolist() == [True, False]


def test_xqlfw_and_agedb_as_lists(make_images):
    root = make_images("xqlfw/im/A/A_0001.jpg", "xqlfw/im/A/A_0002.jpg", "agedb_30/a", "agedb_30/b")
    _write(root, "xqlfw/xqlfw_pairs.txt", "10 300\nA 1 2\n")
    _write(root, "agedb_30/pairs.txt", "a b 1\n")
    assert load_protocol("XQLFW", root).samples == ("A/A_0001.jpg", "A/A_0002.jpg")
    assert load_protocol("AgeDB-30", root).samples == ("a", "b")


def test_folders_of_identities_by_name_and_path(make_images):
    root = make_images(*(f"vggface2/test/{name}" for name in FOLDERS))
    found = load_protocol("VGGFace2", root, drawing=Drawing(non_mated=1))
    assert found.mated.tolist() == [True, False]
    by_path = load_protocol(root / "vggface2" / "test")
    assert by_path.samples == found.samples
    assert by_path.mated.tolist() == [True, False, False]


def test_adience_by_albums_and_by_folders(make_images):
    names = [f"landmark_aligned_face.{i}.{j}.png" for i, j in ((1, 1), (1, 2), (2, 3))]
    root = make_images(*(f"adience/aligned/album/{name}" for name in names))
    found = load_protocol("adience", root)
    assert found.identity.tolist() == [0, 0, 1]
    assert np.array_equal(load_protocol(root / "adience").identity, found.identity)
    other = make_images(*(f"own/adience/{name}" for name in FOLDERS)) / "own"
    assert load_protocol("adience", other).identity.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("name", "folder"), [("IJB-C", "IJBC"), ("ijbb", "ijbb")])
def test_templates_by_name_and_path(make_images, name, folder):
    root = make_images(f"{folder}/loose_crop/1.jpg", f"{folder}/loose_crop/2.jpg")
    kind = folder.lower()
    _write(root, f"{folder}/meta/{kind}_face_tid_mid.txt", "1.jpg 1 1\n2.jpg 2 2\n")
    _write(root, f"{folder}/meta/{kind}_template_pair_label.txt", "1 2 0\n")
    points = "".join(f"{i}.jpg 1 2 3 4 5 6 7 8 9 10 1\n" for i in (1, 2))
    _write(root, f"{folder}/meta/{kind}_name_5pts_score.txt", points)
    assert isinstance(load_protocol(name, root), TemplateProtocol)
    assert load_protocol(root / folder).templates == ("1", "2")


def test_files_by_path(make_images):
    root = make_images("images/a.png", "images/b.png")
    table = _write(root, "set.csv", "sample_a,sample_b,mated\na.png,b.png,1\n")
    pairs = _write(root, "lists/pairs.txt", "a.png b.png 1\n")
    assert load_protocol(table).sources == ()
    for path in (table, pairs):
        found = load_protocol(str(path), root / "images")
        assert list(found.sources) == [f"{root}/images/a.png", f"{root}/images/b.png"]


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(InvalidArgumentError) as error_info:
        load_protocol("lfww", tmp_path)
    assert all(data_set.name in str(error_info.value) for data_set in DATA_SETS)
    with pytest.raises(InvalidArgumentError, match=r"'no/such\.bin', which is neither"):
        load_protocol("no/such.bin")


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda data_set: data_set.name)
def test_a_missing_data_set_says_what_to_put_where(tmp_path, data_set):
    with pytest.raises(InvalidArgumentError) as error_info:
        load_protocol(data_set.name, tmp_path)
    message = str(error_info.value)
    for form in data_set.forms:
        assert f"{tmp_path / form.path} ({form.content})" in message
    assert data_set.obtained in message
    with pytest.raises(InvalidArgumentError, match=r"expected DATA_ROOT/.* got no data_root"):
        load_protocol(data_set.name)
