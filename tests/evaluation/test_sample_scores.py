from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.evaluation.protocols.base import Protocol
from fiqa_fast.evaluation.sample_scores import methods_of_table, runtimes_of_table, score_samples
from fiqa_fast.evaluation.score_files import read_scores
from fiqa_fast.pipeline import FaceFinder
from fiqa_fast.results import ResultsWriter
from fiqa_fast.scorers.multi import MultiScorer
from fiqa_fast.scorers.registry import create_scorer


@pytest.fixture(scope="module")
def scorers() -> MultiScorer:
    return create_scorer(["embedding-norm", "grafiqs"])


@pytest.fixture
def protocol(tmp_path: Path, golden_dir: Path) -> Protocol:
    """Three crops and a file that is no image; two of them as the bytes of files."""
    crops = sorted((golden_dir / "crops").glob("*.png"))[:3]
    (tmp_path / "no-image.png").write_text("no image")
    sources = [crops[0], crops[1].read_bytes(), tmp_path / "no-image.png", crops[2].read_bytes()]
    pairs = np.zeros(1, dtype=np.int32)
    names = (crops[0].name, "two", "no-image.png", "three")
    return Protocol("d", names, sources, True, None, pairs, pairs + 1, pairs > 0)


def run(protocol: Protocol, scorers: MultiScorer, folder: Path, stop_after: int = 99) -> Path:
    mode = "resume" if folder.exists() else "new"
    try:
        with ResultsWriter(folder, {}, mode) as writer:
            steps = score_samples(
                protocol, scorers.scorers, writer, finder=FaceFinder(None), all_outputs=True
            )
            for done in steps:
                if done >= stop_after:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    return folder / "scores.parquet"


def test_samples_are_scored_under_their_paths_or_names(
    protocol: Protocol, scorers: MultiScorer, tmp_path: Path
) -> None:
    path = run(protocol, scorers, tmp_path / "out")

    table = pq.read_table(path)
    methods = methods_of_table(table, protocol, "the table")

    paths = list(dict.fromkeys(table["path"].to_pylist()))
    assert paths == [str(protocol.sources[0]), "two", str(protocol.sources[2]), "three"]
    assert [m.method for m in methods][:1] == ["embedding-norm"]
    assert {m.method for m in methods} >= {"grafiqs/b2", "grafiqs/image"}
    for method in methods:
        assert np.isnan(method.raw_scores).tolist() == [False, False, True, False]
        assert method.quality_network == "sface"
    crop = np.array(Image.open(protocol.sources[0]).convert("RGB"))
    norm = create_scorer("embedding-norm").score(crop[None]).item()
    assert methods[0].raw_scores[0] == norm
    assert [m.higher_is_better for m in methods[:2]] == [True, False]
    assert {r.method for r in runtimes_of_table(pq.read_table(path))} == {
        "embedding-norm",
        "grafiqs",
    }


def test_an_interrupted_run_goes_on_where_it_was(
    protocol: Protocol, scorers: MultiScorer, tmp_path: Path
) -> None:
    whole = pq.read_table(run(protocol, scorers, tmp_path / "whole")).drop(["elapsed_ms"])

    run(protocol, scorers, tmp_path / "parts", stop_after=2)
    path = run(protocol, scorers, tmp_path / "parts")

    assert pq.read_table(path).drop(["elapsed_ms"]).equals(whole)


def test_both_files_of_a_run_can_be_read(
    protocol: Protocol, scorers: MultiScorer, tmp_path: Path
) -> None:
    path = run(protocol, scorers, tmp_path / "out")

    from_parquet = read_scores(path, protocol)
    from_csv = read_scores(path.with_suffix(".csv"), protocol)

    for a, b in zip(from_parquet, from_csv, strict=True):
        assert (a.method, a.higher_is_better) == (b.method, b.higher_is_better)
        np.testing.assert_array_equal(a.raw_scores, b.raw_scores)


def test_a_table_of_other_images_is_refused(
    protocol: Protocol, scorers: MultiScorer, tmp_path: Path
) -> None:
    table = pq.read_table(run(protocol, scorers, tmp_path / "out"))
    other = Protocol(**{**vars(protocol), "samples": ("x", "y", "z", "w")})

    with pytest.raises(InvalidArgumentError, match="scores of samples of d, such as x, got none"):
        methods_of_table(table, other, "the table")
    with pytest.raises(InvalidArgumentError, match="without the columns path"):
        methods_of_table(table.drop(["path"]), protocol, "the table")


def test_several_faces_of_a_sample_are_refused(
    protocol: Protocol, scorers: MultiScorer, tmp_path: Path
) -> None:
    import pyarrow as pa

    table = pq.read_table(run(protocol, scorers, tmp_path / "out"))

    with pytest.raises(InvalidArgumentError, match="several scores of embedding-norm for one"):
        methods_of_table(pa.concat_tables([table, table]), protocol, "the table")
