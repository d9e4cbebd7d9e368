import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.training.data.forms import open_training_set


def test_each_form_is_told(tmp_path, write_rec, write_tar, jpeg):
    write_rec(tmp_path / "rec", [(5, jpeg(0))])
    members = [("a.jpg", jpeg(1)), ("a.cls", b"5")]
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "s-0.tar", members)
    write_tar(tmp_path / "tars" / "s-1.tar", members)
    (tmp_path / "folder" / "anna").mkdir(parents=True)
    (tmp_path / "folder" / "anna" / "1.jpg").write_bytes(jpeg(2))

    def found(name):
        opened = open_training_set(tmp_path / name, index_folder=tmp_path / "indices")
        return opened.name, list(opened.samples), opened.read(0)

    assert found("rec") == ("rec", ["1"], jpeg(0))
    assert found("rec/train.rec") == ("rec", ["1"], jpeg(0))
    assert found("tars/s-0.tar") == ("s-0", ["s-0/a"], jpeg(1))
    assert found("tars/s-{0..1}.tar") == ("s-0", ["s-0/a", "s-1/a"], jpeg(1))
    assert found("tars") == ("tars", ["s-0/a", "s-1/a"], jpeg(1))
    assert found("folder") == ("folder", ["anna/1.jpg"], jpeg(2))
    with pytest.raises(InvalidArgumentError, match="a folder that may be listed"):
        found("none")
