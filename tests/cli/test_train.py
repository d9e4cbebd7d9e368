from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.training.data.synthetic import SyntheticFaces
from fiqa_fast.training.log import read_log

LIGHTQNET = Path(__file__).parents[1] / "golden" / "lightqnet" / "lightqnet-dm100.pb"
FACES = SyntheticFaces(identities=3, per_identity=6, seed=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder for each of three drawn people."""
    folder = tmp_path_factory.mktemp("people")
    for n in range(FACES.count):
        path = folder / f"p{FACES.identity(n)}" / f"{n:02d}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), FACES.crop(n)[..., ::-1])
    return folder


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    rows = [f"p{FACES.identity(n)}/{n:02d}.png,{n % 7},{-n}" for n in range(FACES.count)]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["sample,mine,other", *rows]) + "\n")
    return path


def test_cr_fiqa_trains_and_its_network_scores(fiqa_fast_command, data, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "network: mobilefacenet\nepochs: 1\nbatch_size: 4\nmilestone_epochs: []\n"
        "learning_rate: 0.01\nscale: 32\nmargin_size: 0.2\nlog_every: 1\n"
    )
    out = tmp_path / "out"

    code, _, err = fiqa_fast_command(
        "train", "cr-fiqa", data, "-o", out, "--recipe", recipe, "--device", "cpu"
    )

    assert code == 0
    assert "18 samples of 3 identities" in err
    assert "step 4: loss" in err
    scorer = create_scorer("cr-fiqa", weights=out / "network.safetensors", precision="float32")
    assert np.isfinite(scorer.score(FACES.crop(0)[None]).numpy()).all()
    # Again: it is finished. With another recipe: refused.
    assert fiqa_fast_command("train", "cr-fiqa", data, "-o", out, "--recipe", recipe)[0] == 0
    recipe.write_text(recipe.read_text() + "seed: 3\n")
    code, _, err = fiqa_fast_command("train", "cr-fiqa", data, "-o", out, "--recipe", recipe)
    assert code == 1
    assert "seed" in err


def test_distilling_a_head(fiqa_fast_command, data, scores, tmp_path):
    out = tmp_path / "out"
    code, _, _ = fiqa_fast_command(
        "train", "distill", data, "-o", out, "--scores", scores, "--method", "mine",
        "--head-only", "--epochs", "1", "--batch-size", "8", "--device", "cpu",
    )  # fmt: skip

    assert code == 0
    code, printed, _ = fiqa_fast_command("weights", "inspect", out / "network.safetensors")
    assert code == 0
    assert "label-regressor" in printed


def test_distilling_a_scorer(fiqa_fast_command, data, tmp_path):
    """Scored, optimised, learned, evaluated on the way; a second run scores nothing again."""
    people = tmp_path / "people"
    shutil.copytree(data, people)
    (people / "p1" / "04.png").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = (
        "train", "distill", people, "-o", out, "--scorer", "embedding-norm", "--optimise-labels",
        "--skip-unreadable", "--head-only", "--epochs", "2", "--batch-size", "8",
        "--evaluate", data, "--aligned", "--evaluate-fmr", "0.1", "--device", "cpu",
    )  # fmt: skip

    code, _, err = fiqa_fast_command(*arguments)

    assert code == 0
    assert "leaving out 1 of 18 images" in err
    with (out / "labels.csv").open() as file:
        labels = {r["sample"]: r["embedding-norm+opt"] for r in csv.DictReader(file)}
    assert len(labels) == 18
    assert labels["p1/04.png"] == ""
    scored = {
        "/".join(Path(row["path"]).parts[-2:]): row["raw_score"]
        for row in pq.read_table(out / "scores" / "scores.parquet").to_pylist()
    }
    assert scored["p1/04.png"] is None
    given = sorted(float(v) for v in labels.values() if v)
    np.testing.assert_allclose(given, sorted(v for v in scored.values() if v is not None))
    areas = {name: v for name, v in read_log(out / "log.csv").items() if name.startswith("edc/")}
    numbers = ("fnmr", "area-0.2", "area-0.3")
    assert set(areas) == {f"edc/{data.name}/sface/fmr-0.1/{number}" for number in numbers}
    assert create_scorer("label-regressor", weights=out / "network.safetensors").score(
        FACES.crop(0)[None]
    ).shape == (1,)
    assert fiqa_fast_command(*arguments)[0] == 0
    assert len(pq.read_table(out / "scores" / "scores.parquet")) == 18
    # Other labels, the same folder: refused.
    code, _, err = fiqa_fast_command(*arguments[:6], "ser-fiq", *arguments[7:])
    assert code == 1
    assert "others for scorers" in " ".join(err.split())


def test_cr_fiqa_is_evaluated_while_it_learns(fiqa_fast_command, data, tmp_path):
    people = tmp_path / "people"
    shutil.copytree(data, people)
    (people / "p2" / "05.png").write_bytes(b"no image")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "network: mobilefacenet\nepochs: 2\nbatch_size: 8\nmilestone_epochs: []\n"
        "learning_rate: 0.01\nscale: 32\nmargin_size: 0.2\nevaluate_every: 2\n"
    )
    out = tmp_path / "out"

    code, _, err = fiqa_fast_command(
        "train", "cr-fiqa", people, "-o", out, "--recipe", recipe, "--skip-unreadable",
        "--evaluate", data, "--aligned", "--evaluate-fmr", "0.1", "--verify", "sface",
        "--device", "cpu",
    )  # fmt: skip

    assert code == 0
    assert "p2/05.png" in err
    areas = read_log(out / "log.csv")[f"edc/{data.name}/sface/fmr-0.1/area-0.3"]
    assert [step for step, _ in areas] == [0, 2, 4]
    assert areas[0][1] == 1  # a head that says 0 for everything


def test_two_processes_of_torchrun_train_together(data, tmp_path):
    people = tmp_path / "people"
    shutil.copytree(data, people)
    for broken in ("p0/03.png", "p2/05.png"):  # one in the share of each process
        (people / broken).write_bytes(b"no image")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "network: mobilefacenet\nepochs: 1\nbatch_size: 8\nmilestone_epochs: []\n"
        "learning_rate: 0.01\nscale: 32\nmargin_size: 0.2\nlog_every: 1\n"
    )
    out = tmp_path / "out"

    run = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "--no-python", sys.executable, "-c", "from fiqa_fast.cli import main; main()",
            "train", "cr-fiqa", people, "-o", out, "--recipe", recipe, "--skip-unreadable",
            "--evaluate", data, "--aligned", "--evaluate-fmr", "0.1", "--device", "cpu",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stderr.count("leaving out 2 of 18 images") == 1
    log = read_log(out / "log.csv")
    assert [step for step, _ in log["loss"]] == [1, 2]
    area = log[f"edc/{data.name}/self/fmr-0.1/area-0.3"]
    assert [step for step, _ in area] == [0, 2]
    assert (out / "network.safetensors").exists()


def test_unreadable_images_are_found_before(fiqa_fast_command, data, tmp_path):
    broken = tmp_path / "people"
    shutil.copytree(data, broken)
    (broken / "p1" / "01.png").write_bytes(b"no image")

    code, _, err = fiqa_fast_command(
        "train", "cr-fiqa", broken, "-o", tmp_path / "out", "--check-images"
    )

    assert code == 2
    assert "got 1 that are not, such as p1/01.png" in " ".join(err.split())
    assert not (tmp_path / "out").exists()


def test_labels_are_optimised(fiqa_fast_command, data, scores, tmp_path):
    rng = np.random.default_rng(0)
    names = [f"p{FACES.identity(n)}/{n:02d}.png" for n in range(FACES.count)]
    rows = rng.normal(size=(len(names), 8)).astype(np.float32)
    np.savez(tmp_path / "e.npz", names=np.asarray(names), embeddings=rows)
    out = tmp_path / "optimised.csv"

    code, _, _ = fiqa_fast_command(
        "train", "optimise-labels", data, "-o", out, "--scores", scores, "--method", "other",
        "--embeddings", tmp_path / "e.npz", "--clusters", "3", "--repeats", "2",
        "--theta", "0.5",
    )  # fmt: skip

    assert code == 0
    assert not list(tmp_path.glob(".*.progress"))
    with out.open() as file:
        found = {row["sample"]: float(row["other+opt"]) for row in csv.DictReader(file)}
    assert set(found) == set(names)
    assert sorted(found.values()) == sorted(float(-n) for n in range(FACES.count))
    assert [found[name] for name in names] != [-n for n in range(FACES.count)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cr-fiqa", "absent"], "absent"),
        (["cr-fiqa", "data", "--recipe", "best"], "expected a recipe (cr-fiqa-s"),
        (["cr-fiqa", "empty-person"], "without images"),
        (["distill", "data", "--scores", "scores.csv"], "--method to be one of mine, other"),
        (["distill", "data", "--scores", "absent.csv"], "readable file of scores"),
        (["distill", "data"], "labels from --scorer or from --scores, got neither"),
        (["distill", "data", "--scorer", "froq", "--scores", "scores.csv"], "got both"),
        (["distill", "data", "--scorer", "best"], "best"),
        (["distill", "data", "--scorer", "froq", "--precision", "half"], "precision to be one of"),
        (["distill", "data", "--scorer", "froq", "--epochs", "0"], "expected epochs of 1 or more"),
        (
            ["distill", "data", "--scorer", "froq", "--network", str(LIGHTQNET)],
            "has no embedding",
        ),
        (["distill", "data", "--scorer", "froq", "--evaluate", "absent"], "absent"),
        (["cr-fiqa", "data", "--evaluate", "alone"], "expected"),
        (
            ["optimise-labels", "data", "--scores", "gap.csv", "--embeddings", "e.npz"],
            "none for 17",
        ),
    ],
)
def test_what_cannot_be_trained(
    fiqa_fast_command, data, scores, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(data)
    Path("empty-person", "nobody").mkdir(parents=True)
    Path("empty-person", "p0").symlink_to(data / "p0")
    Path("alone").mkdir()
    Path("alone", "p0").symlink_to(data / "p0")
    Path("gap.csv").write_text("sample,mine\np0/00.png,1\n")

    code, _, err = fiqa_fast_command("train", *arguments, "-o", "out")

    assert code == 2
    assert message in " ".join(err.split())
