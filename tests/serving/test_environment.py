import pytest

from fiqa_fast.errors import UnavailableError
from fiqa_fast.serving.environment import ENVIRONMENT_VARIABLE, find_environment


def test_is_where_make_puts_it():
    """Fails, with the command to run, where `make serve-env` was forgotten."""
    assert find_environment().server.exists()


def test_missing_one_is_an_error_with_the_remedy(tmp_path):
    with pytest.raises(UnavailableError, match=r"no lib/.*tritonserver; run `make serve-env`"):
        find_environment(tmp_path)


def test_numpy_2_is_refused(tmp_path):
    """With it, every score would be wrong, and nothing would say so."""
    real = find_environment().folder
    packages = next((real / "lib").glob("python*")) / "site-packages"
    copy = tmp_path / packages.relative_to(real)
    copy.mkdir(parents=True)
    for name in ("pytriton", "nvidia_pytriton.libs"):
        (copy / name).symlink_to(packages / name)
    (copy / "numpy-2.4.6.dist-info").mkdir()
    with pytest.raises(UnavailableError, match=r"expected numpy 1 .*run `make serve-env`"):
        find_environment(tmp_path)


def test_variable_names_one(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(UnavailableError, match="elsewhere"):
        find_environment()


def test_models_get_no_other_python(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    environment = find_environment()
    variables = environment.variables()
    assert "PYTHONPATH" not in variables
    assert "PYTHONHOME" not in variables
    assert variables["PATH"].startswith(str(environment.folder / "bin"))
    assert str(environment.libraries) in variables["LD_LIBRARY_PATH"]
