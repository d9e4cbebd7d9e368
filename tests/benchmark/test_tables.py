from dataclasses import replace

from fiqa_fast.benchmark.compare import compare_results
from fiqa_fast.benchmark.measure import Spread
from fiqa_fast.benchmark.nvml import GpuState
from fiqa_fast.benchmark.results import SkippedCase
from fiqa_fast.benchmark.tables import changes_table, result_page


def _rows(page, section):
    """The cells of a section's table, without its header."""
    lines = page.split(f"{section}\n")[1].split("\n#")[0].splitlines()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    return cells[2:]


def test_loop_floor_and_ours(make_case, make_result):
    single = make_case(
        scorer="faceqan",
        output="score",
        options={"k": 5},
        to_loop=None,
        ours_ms=Spread(1234.5, None),
        ratio_to_floor=Spread(246.9, None),
        precision="auto",
        ran_precision="bf16",
        rounds=1,
    )
    page = result_page(make_result(make_case(), single))
    assert "float32 0.30, bf16 1.25 TFLOP/s" in page
    assert "a copy at 45.0 GB/s" in page
    assert _rows(page, "## Loop, floor, ours") == [
        [
            "grafiqs b2", "sface", "float32, engine torch, batch 1, 2 threads", "40.00 ± 1.50",
            "5.00 ± 0.12 (float32)", "20.00 ± 0.25", "0.5 ± 0.01", "4 ± 0.1", "9",
        ],
        [
            "faceqan, k=5", "sface", "bf16 (auto), engine torch, batch 1, 2 threads", "",
            "5.00 ± 0.12 (float32)", "1234.50", "", "247", "1",
        ],
    ]  # fmt: skip


def test_a_disturbed_case_is_marked(make_case, make_result):
    assert "†" not in result_page(make_result(make_case()))
    page = result_page(make_result(make_case(waited_fraction=0.5)))
    assert "| 20.00 ± 0.25 † |" in page
    assert "† Something else used the machine" in page


def test_networks(make_case, make_result):
    page = result_page(make_result(make_case()))
    assert _rows(page, "# Benchmark") == [["sface", "packaged", "1.15", "37", "0.86"]]


def test_scaling_needs_several_sizes(make_case, make_result):
    title = "## Over batch sizes and threads"
    assert title not in result_page(make_result(make_case()))
    cases = (
        make_case(threads=1, to_floor=8.0),
        make_case(),
        make_case(batch_size=8, to_floor=3.0),
        make_case(batch_size=8, scorer="froq", output="score"),
    )
    page = result_page(make_result(*cases))
    assert "| 1 threads, batch 1 | 2 threads, batch 1 | 2 threads, batch 8 |" in page
    assert _rows(page, title) == [
        ["grafiqs b2", "sface", "float32, engine torch", "40.00", "20.00", "15.00"],
        ["froq", "sface", "float32, engine torch", "", "", "20.00"],
    ]


def test_latency(make_case, make_result):
    page = result_page(make_result(make_case(peak_memory_mib=812.4), make_case(latency=None)))
    assert _rows(page, "## Latency of one face") == [
        ["grafiqs b2", "sface", "float32, engine torch", "20.00", "21.00", "", "50", "812"]
    ]


def test_a_gpu(make_case, make_result):
    assert "Energy" not in result_page(make_result(make_case()))
    gpu = GpuState("Example GPU", "999.10", "13.0", 1410, 1980, 2600, 350.0, 80.0)
    case = make_case(device="cuda", energy_j=0.125, sm_clock_mhz=Spread(1410.0, 15.0))
    result = make_result(case)
    page = result_page(replace(result, machine=replace(result.machine, gpu=gpu)))
    assert "Example GPU, 80 GiB, driver 999.10" in page
    assert _rows(page, "## Energy, clock and memory of the GPU") == [
        ["grafiqs b2", "sface", "float32, engine torch, batch 1", "0.125", "1410 ± 15", ""]
    ]


def test_the_papers_values_stand_beside_ours(make_case, make_result):
    page = result_page(make_result(make_case(scorer="ser-fiq", output="score")))
    rows = {row[0]: row[1:] for row in _rows(page, "### FaceQAN, Table III")}
    assert rows["SER-FIQ"] == ["112.5", "20.00 ± 0.25", "sface, float32, engine torch, cpu"]
    assert rows["PFE"] == ["49.3", "no weights here", ""]
    assert rows["FaceQAN, k=100"][:2] == ["1870", "not measured; run with --papers"]
    title = "### Optimization-Based Improvement of FIQA Techniques, Table IV"
    assert ["CR-FIQA", "11.5 ± 5", "no weights here", ""] in _rows(page, title)
    passes = _rows(page, "### Passes of an image through the network, for a face")
    assert ["FaceQAN, k=10, l=5", "53", "51", "51", "52", "40", ""] in passes


def test_skipped_cases(make_case, make_result):
    case = make_case(scorer="cr-fiqa", output="score")
    page = result_page(make_result(make_case(), skipped=(SkippedCase(case.key, "no head"),)))
    assert page.endswith(
        "- cr-fiqa on sface, float32, engine torch, batch 1, 2 threads, cpu: no head\n"
    )


def test_changes(make_case, make_result):
    old = make_result(make_case())
    table = changes_table(compare_results(old, make_result(make_case(to_loop=1.0, to_floor=6.0))))
    assert table.splitlines()[-1] == (
        "| grafiqs b2 on sface, float32, engine torch, batch 1, 2 threads, cpu | 2.000 | 1.500"
        " | slower |"
    )
