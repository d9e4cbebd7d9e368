import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serving" / "load_test.py"


@pytest.mark.slow
def test_the_load_test_says_what_it_shall(tmp_path):
    arguments = ["--scorer", "embedding-norm", "--rounds", "1", "--seconds", "0.5"]
    arguments += ["--requests", "60", "-o", tmp_path / "load"]
    subprocess.run([sys.executable, SCRIPT, *arguments], check=True, capture_output=True)
    result = json.loads((tmp_path / "load.json").read_text())
    throughput = result["throughput"]
    assert throughput["served_to_in_process"]["median"] == pytest.approx(
        throughput["served_faces_per_s"]["median"] / throughput["in_process_faces_per_s"]["median"]
    )
    for by_concurrency in result["latency_ms"].values():
        assert list(by_concurrency) == ["1", "4", "16"]
        for found in by_concurrency.values():
            assert 0 < found["p50"] <= found["p95"] <= found["p99"]
    assert result["memory"]["requests"] == 60
    assert result["memory"]["models"]["mib"] > 50
    page = (tmp_path / "load.md").read_text()
    assert "| served, 16 requests of one crop at a time |" in page
