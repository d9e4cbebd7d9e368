import pytest

from fiqa_fast.errors import ImageError, InvalidArgumentError
from fiqa_fast.training.data.folder import open_folder


@pytest.fixture
def root(tmp_path, jpeg):
    for i, name in enumerate(["b/2.jpg", "b/deep/1.jpg", "a/1.jpg", "c/1.jpg"]):
        file = tmp_path / "faces" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(i))
    (tmp_path / "faces" / "a" / "notes.txt").write_text("no image")
    return tmp_path / "faces"


def test_a_folder_for_each_identity(root, jpeg):
    found = open_folder(root)
    assert (found.name, found.count) == ("faces", 4)
    assert found.samples == ("a/1.jpg", "b/2.jpg", "b/deep/1.jpg", "c/1.jpg")
    assert found.identity.tolist() == [0, 1, 1, 2]
    assert found.identity_names == ("a", "b", "c")
    assert found.read(2) == jpeg(1)


def test_a_folder_without_images_is_an_identity_too(root):
    (root / "ab").mkdir()
    found = open_folder(root)
    assert found.identity_names == ("a", "ab", "b", "c")
    assert found.identity.tolist() == [0, 2, 2, 3]


def test_images_beside_the_folders_are_refused(root, jpeg):
    (root / "9.jpg").write_bytes(jpeg(9))
    with pytest.raises(InvalidArgumentError, match=r"images beside them: 9\.jpg"):
        open_folder(root)


def test_no_folder(tmp_path):
    with pytest.raises(InvalidArgumentError, match="a folder that may be listed"):
        open_folder(tmp_path / "none")


def test_a_file_that_went_away(root):
    found = open_folder(root)
    (root / "c" / "1.jpg").unlink()
    with pytest.raises(ImageError, match="no such file"):
        found.read(3)
