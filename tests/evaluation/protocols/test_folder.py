import numpy as np
import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.adience import is_adience, read_adience
from fiqa_fast.evaluation.protocols.folder import read_folder


def test_a_folder_for_each_identity(make_images):
    root = make_images("b/2.png", "b/deep/1.jpg", "a/1.png", "a/3.png", "c/1.png", "a/notes.txt")
    found = read_folder(root)
    assert found.samples == ("a/1.png", "a/3.png", "b/2.png", "b/deep/1.jpg", "c/1.png")
    assert found.sources[3] == f"{root}/b/deep/1.jpg"
    assert list(found.sources[1:3]) == [f"{root}/a/3.png", f"{root}/b/2.png"]
    assert found.identity.tolist() == [0, 0, 1, 1, 2]
    assert found.mated.tolist() == [True] * 2 + [False] * 8
    assert not found.aligned
    assert found.name == root.name


def test_numbers_and_seed_are_passed_on(make_images):
    root = make_images(*(f"{i}/{j}.png" for i in range(4) for j in range(4)))
    options = {"mated_per_identity": 2, "non_mated": 5}
    first, again, other = (read_folder(root, **options, seed=seed) for seed in (0, 0, 1))
    assert np.count_nonzero(first.mated) == 8
    assert len(first.mated) == 13
    assert np.array_equal(first.sample_a, again.sample_a)
    assert not np.array_equal(first.sample_a, other.sample_a)


def test_images_beside_the_folders_have_a_list(make_images):
    root = make_images("1.png", "2.png", "anna/1.png")
    (root / "identities.csv").write_text("identity,file\nanna,1.png\nbert,2.png\n")
    found = read_folder(root)
    assert found.samples == ("1.png", "2.png", "anna/1.png")
    assert found.identity.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (None, "that identities.csv does not name: 1.png, 2.png"),
        ("file,identity\n1.png,a\n", "does not name: 2.png"),
        ("file,identity\n1.png,a\n2.png,b\n3.png,b\n", "got none for 3.png"),
        ("file,identity\n1.png,a\n1.png,b\n", "got '1.png' with 'b' in line 3"),
        ("file,identity\n1.png,\n", "got '1.png' with '' in line 2"),
        ("image,person\n", "the columns file,identity in .*, got image,person"),
    ],
)
def test_images_beside_the_folders_without_identity(make_images, listed, said):
    root = make_images("1.png", "2.png", "anna/1.png")
    if listed is not None:
        (root / "identities.csv").write_text(listed)
    with pytest.raises(InvalidArgumentError, match=said):
        read_folder(root)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(InvalidArgumentError, match="got 0 images"):
        read_folder(tmp_path)
    with pytest.raises(InvalidArgumentError, match="a folder that may be listed"):
        read_folder(tmp_path / "none")


def test_linked_folders_in_a_circle_end(make_images):
    root = make_images("a/1.png", "a/2.png", "b/1.png")
    (root / "a" / "again").symlink_to(root, target_is_directory=True)
    (root / "linked").symlink_to(root / "b", target_is_directory=True)
    assert read_folder(root).samples == ("a/1.png", "a/2.png", "b/1.png", "linked/1.png")


def test_the_albums_of_adience_hold_several_persons(make_images):
    root = make_images(
        "7@N04/landmark_aligned_face.2282.1_o.png",
        "7@N04/landmark_aligned_face.2282.2_o.png",
        "7@N04/landmark_aligned_face.11.3_o.png",
        "9@N01/coarse_tilt_aligned_face.11.4_o.png",
    )
    assert is_adience(root)
    found = read_adience(root)
    assert found.identity.tolist() == [0, 1, 1, 0]
    assert found.samples[0] == "7@N04/landmark_aligned_face.11.3_o.png"
    assert np.count_nonzero(found.mated) == 2
    make_images("9@N01/other.png")
    with pytest.raises(InvalidArgumentError, match=r"got 9@N01/other\.png"):
        read_adience(root)


def test_other_folders_are_not_taken_for_adience(make_images):
    assert not is_adience(make_images("a/1.png", "b/landmark_aligned_face.1.2.png"))
