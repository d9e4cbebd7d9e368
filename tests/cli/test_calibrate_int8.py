"""`fiqa-fast weights calibrate-int8`, and scores from the file that it writes."""

import pytest

from fiqa_fast.errors import InvalidArgumentError
from fiqa_fast.fused import onednn
from fiqa_fast.scorers.registry import create_scorer

needs_vnni = pytest.mark.skipif(not onednn.multiplies_int8(), reason="no VNNI on this CPU")


@needs_vnni
def test_a_file_with_ranges_runs_in_int8(
    fiqa_fast_command, golden_dir, crop_names, crops, sface32, tmp_path
):
    files = [golden_dir / "crops" / name for name in crop_names]
    out = tmp_path / "sface.safetensors"
    code, stdout, err = fiqa_fast_command(
        *("weights", "calibrate-int8", "sface", *files, "--aligned", "-o", out)
    )
    assert code == 0, err
    assert "measured over 18 crops" in stdout
    exact = create_scorer("embedding-norm", backbone=sface32).score(crops)
    scorer = create_scorer("embedding-norm", weights=out, precision="int8", device="cpu")
    low = scorer.score(crops)
    assert 0 < (low / exact - 1).abs().max() < 0.05  # 3.2e-2 was measured over the ladder
    code, _, err = fiqa_fast_command(
        *("score", files[0], "--aligned", "--weights", out, "--precision", "int8"),
        *("--scorer", "embedding-norm", "-o", tmp_path / "results"),
    )
    assert code == 0, err
    with pytest.raises(InvalidArgumentError, match="got 'int8'"):
        create_scorer("grafiqs", weights=out, precision="int8", device="cpu")


@needs_vnni
def test_without_ranges_the_remedy_is_named():
    with pytest.raises(InvalidArgumentError, match="weights calibrate-int8"):
        create_scorer("embedding-norm", precision="int8", device="cpu")
