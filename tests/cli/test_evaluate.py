from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from fiqa_fast.evaluation.result import EvaluationResult, read_result

FAST = ("--bootstrap", "0", "--threshold-policy", "fixed", "--fmr", "0.1")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Comparisons with scores, and the qualities that they follow, as CSV files."""
    rng = np.random.default_rng(0)
    people, quality = np.arange(100) % 20, rng.random(100)
    pairs = [(a, b) for a in range(100) for b in range(a)]
    chosen = [pairs[n] for n in rng.permutation(len(pairs))[:2000]]
    chosen += [(a, b) for a, b in pairs if people[a] == people[b]]
    lines = ["sample_a,sample_b,mated,comparison_score"]
    for a, b in dict.fromkeys(chosen):
        mated = int(people[a] == people[b])
        score = rng.normal(mated * (0.1 + min(quality[a], quality[b])), 0.15)
        lines.append(f"p/{a}.png,p/{b}.png,{mated},{score:.6f}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    rows = [f"p/{n}.png,{q:.6f},{-q:.6f},{rng.random():.6f}" for n, q in enumerate(quality)]
    (tmp_path / "scores.csv").write_text("\n".join(["sample,good,loss,random", *rows]) + "\n")
    return tmp_path


def areas(result: EvaluationResult) -> dict[str, float]:
    return {c.method: c.areas[-1].value for c in result.curves if c.error == "fnmr"}


def test_from_files_alone(fiqa_fast_command, made):
    out = made / "out"
    code, printed, err = fiqa_fast_command(
        "evaluate", made / "pairs.csv", "--scores", made / "scores.csv", *FAST,
        "--lower-is-better", "loss", "-o", out,
    )  # fmt: skip

    assert code == 0
    result = read_result(out / "evaluation.json")
    found = areas(result)
    assert found["good"] == found["loss"] < found["random"]
    assert {c.verification_network for c in result.curves} == {"comparison_score"}
    assert "good" in printed
    assert "report.html" in err
    assert "pairs" in (out / "report.html").read_text()
    assert result.distributions
    assert result.agreements[0].spearman[0][1] == pytest.approx(1)


def test_both_policies_intervals_and_fmr_curves(fiqa_fast_command, made):
    out = made / "out"
    code, printed, _ = fiqa_fast_command(
        "evaluate", made / "pairs.csv", "--scores", made / "scores.csv", "--fmr", "0.1",
        "--threshold", "0.5", "--bootstrap", "5", "--fmr-curves", "-o", out,
        "--reference", "random",
    )  # fmt: skip

    assert code == 0
    result = read_result(out / "evaluation.json")
    kinds = {(c.error, c.threshold_policy, c.fmr) for c in result.curves}
    assert len(kinds) == 5
    assert {t.method_a for t in result.paired_tests} == {"random"}
    assert "[" in printed


def write_bin(path: Path, golden_dir: Path) -> None:
    """A verification file as InsightFace's, of the golden crops."""
    crops = {p.stem: p.read_bytes() for p in sorted((golden_dir / "crops").glob("*.png"))}
    person = {name: name.split("__")[0].rsplit("_", 1)[0] for name in crops}
    person |= {"impostor_1": "i1", "impostor_2": "i2"}
    names = list(crops)
    pairs = [(a, b) for n, a in enumerate(names) for b in names[:n]]
    images = [crops[name] for pair in pairs for name in pair]
    same = [person[a] == person[b] for a, b in pairs]
    path.write_bytes(pickle.dumps((images, same), protocol=2))


def test_from_photographs_with_two_networks(fiqa_fast_command, tmp_path, golden_dir):
    write_bin(tmp_path / "lfw.bin", golden_dir)
    out = tmp_path / "out"
    arguments = (
        "evaluate", "LFW", "--data", tmp_path, "--scorer", "embedding-norm,froq", "-o", out,
        "--verify", "sface", "--verify", "again=sface", *FAST,
    )  # fmt: skip

    code, _, _ = fiqa_fast_command(*arguments)

    assert code == 0
    result = read_result(out / "evaluation.json")
    assert {c.verification_network for c in result.curves} == {"sface", "again"}
    assert {c.quality_network for c in result.curves} == {"sface"}
    assert {r.method for r in result.runtimes} == {"embedding-norm", "froq"}
    assert result.error_rates[0].eer < 0.3
    assert (out / "scores.parquet").exists()
    # Again: refused; resumed: nothing is computed twice; overwritten: the same numbers.
    assert fiqa_fast_command(*arguments)[0] == 1
    before = next((out / "embeddings").glob("*.npy")).stat().st_mtime_ns
    assert fiqa_fast_command(*arguments, "--resume")[0] == 0
    assert next((out / "embeddings").glob("*.npy")).stat().st_mtime_ns == before
    assert read_result(out / "evaluation.json").curves == result.curves
    assert fiqa_fast_command(*arguments, "--overwrite")[0] == 0
    assert read_result(out / "evaluation.json").curves == result.curves


def test_scores_of_another_run_and_embeddings_of_a_file(fiqa_fast_command, tmp_path, golden_dir):
    crops = golden_dir / "crops"
    names = sorted(p.name for p in crops.glob("*.png"))
    people = [n.split("__")[0].removesuffix(".png").rsplit("_", 1)[0] for n in names]
    pairs = [
        f"{a},{b},{int(people[i] == people[j] and 'impostor' not in a)}"
        for i, a in enumerate(names)
        for j, b in enumerate(names[:i])
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(["sample_a,sample_b,mated", *pairs]) + "\n")
    rng = np.random.default_rng(0)
    centre = {p: rng.normal(size=32) for p in sorted(set(people))}
    rows = np.stack([centre[p] + rng.normal(size=32) for p in people]).astype(np.float32)
    np.savez(tmp_path / "made.npz", names=np.asarray(names), embeddings=rows)
    scored = tmp_path / "scored"
    assert fiqa_fast_command("score", crops, "--aligned", "-o", scored)[0] == 0

    code, _, _ = fiqa_fast_command(
        "evaluate", tmp_path / "pairs.csv", "--scores", scored / "scores.parquet",
        "--embeddings", f"mine={tmp_path / 'made.npz'}", "-o", tmp_path / "out", *FAST,
    )  # fmt: skip

    assert code == 0
    result = read_result(tmp_path / "out" / "evaluation.json")
    assert [c.method for c in result.curves] == ["ser-fiq"]
    assert result.curves[0].verification_network == "mine"


def test_templates(fiqa_fast_command, tmp_path):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 16))
    names = [f"{n}.png" for n in range(80)]
    embeddings = (centres[np.arange(80) % 10] + 0.8 * rng.normal(size=(80, 16))).astype(np.float32)
    np.savez(tmp_path / "e.npz", names=np.asarray(names), embeddings=embeddings)
    members = [f"t{n % 40},{name},{n}" for n, name in enumerate(names)]
    (tmp_path / "templates.csv").write_text("\n".join(["template,sample,medium", *members]) + "\n")
    pairs = [f"t{a},t{b},{int(a % 10 == b % 10)}" for a in range(40) for b in range(a)]
    text = "\n".join(["template_a,template_b,mated", *pairs]) + "\n"
    (tmp_path / "pairs.csv").write_text(text)
    quality = [f"{name},{rng.random():.4f}" for name in names]
    (tmp_path / "q.csv").write_text("\n".join(["sample,mine", *quality]) + "\n")

    code, _, _ = fiqa_fast_command(
        "evaluate", tmp_path / "pairs.csv", "--scores", tmp_path / "q.csv",
        "--embeddings", tmp_path / "e.npz", "-o", tmp_path / "out", *FAST,
    )  # fmt: skip

    assert code == 0
    result = read_result(tmp_path / "out" / "evaluation.json")
    assert [t.weighting for t in result.templates] == ["", "mine"]
    assert [c.method for c in result.curves] == ["mine"]
    assert "non-mated comparisons cannot resolve" in " ".join(result.notes)


class Malicious:
    def __reduce__(self):
        return (os.system, ("touch taken",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pairs.csv"], "expected methods (--scorer"),
        (["pairs.csv", "--scores", "s.csv", "--resume", "--overwrite"], "got both; choose one"),
        (["pairs.csv", "--scores", "s.csv", "--augmentation", "twice"], "augmentation to be one"),
        (["LFV", "--scores", "s.csv"], "expected a data set (LFW, CFP-FP"),
        (["LFW", "--scores", "s.csv"], "put one of them there"),
        (["pairs.csv", "--scores", "absent.csv"], "expected a readable file of scores"),
        (["lfw.bin", "--scores", "s.csv"], "system"),
        (["empty.csv", "--scores", "s.csv"], "empty: expected one comparison or more"),
        (["pairs.csv", "--scores", "s.csv", "-o", "s.csv/out"], "choose another one"),
        (["one-class.csv", "--scores", "s.csv"], "mated"),
        (["pairs.csv", "--scores", "other.csv"], "none of the samples"),
        (["pairs.csv", "--scores", "gaps.csv"], "--missing lowest"),
        (["pairs.csv", "--scores", "s.csv", "--verify", "sface"], "with the images of its"),
        (["pairs.csv", "--scores", "s.csv", "--fmr", "2"], "expected 0 < fmr < 1"),
        (["pairs.csv", "--scores", "s.csv", "--embeddings", "e.npz"], "e.npz"),
    ],
)
def test_what_cannot_be_evaluated(fiqa_fast_command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    head = "sample_a,sample_b,mated,comparison_score\n"
    Path("pairs.csv").write_text(head + "a,b,1,0.9\na,c,0,0.1\n")
    Path("one-class.csv").write_text(head + "a,b,1,0.9\na,c,1,0.1\n")
    Path("empty.csv").write_text(head)
    Path("s.csv").write_text("sample,m\na,1\nb,2\nc,3\n")
    Path("gaps.csv").write_text("sample,m\na,1\nb,2\n")
    Path("other.csv").write_text("sample,m\nx,1\n")
    Path("lfw.bin").write_bytes(pickle.dumps(Malicious()))
    Path("e.npz").write_text("no archive")

    code, _, err = fiqa_fast_command("evaluate", "-o", "out", "--bootstrap", "0", *arguments)

    assert code == (1 if "choose another one" in message else 2)
    assert message in " ".join(err.split())
    assert not Path("taken").exists()


def test_an_interrupted_run_keeps_its_scores(fiqa_fast_command, tmp_path, golden_dir, monkeypatch):
    from fiqa_fast.cli import evaluation_job

    write_bin(tmp_path / "lfw.bin", golden_dir)
    arguments = (
        "evaluate", "LFW", "--data", tmp_path, "--scorer", "embedding-norm", *FAST,
        "-o", tmp_path / "out",
    )  # fmt: skip
    steps = evaluation_job.score_samples

    def interrupted(*given, **named):
        for done in steps(*given, **named):
            if done >= 6:
                raise KeyboardInterrupt
            yield done

    monkeypatch.setattr(evaluation_job, "score_samples", interrupted)
    code, _, err = fiqa_fast_command(*arguments)
    assert code == 130
    assert "--resume" in err
    monkeypatch.undo()

    code, _, _ = fiqa_fast_command(*arguments, "--resume")

    assert code == 0
    settings = json.loads((tmp_path / "out" / "run.json").read_text())
    assert settings["data_set"] == "LFW"
    assert len(read_result(tmp_path / "out" / "evaluation.json").curves) == 1
