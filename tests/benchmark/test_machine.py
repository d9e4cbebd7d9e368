import torch

from fiqa_fast.benchmark.machine import describe_machine
from fiqa_fast.version import __version__

CPU = torch.device("cpu")
CPUINFO = """processor\t: 0
model name\t: Example 9000
flags\t\t: fpu avx2 amx_bf16 avx512f

processor\t: 1
model name\t: another
flags\t\t: fpu
"""


def test_this_machine():
    machine = describe_machine(CPU)
    assert machine.torch == torch.__version__
    assert machine.fiqa_fast == __version__
    assert machine.cores >= 1
    assert machine.threads == torch.get_num_threads()
    assert machine.gpu is None


def test_the_processor(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO)
    machine = describe_machine(CPU, cpuinfo)
    assert machine.cpu == "Example 9000"
    assert machine.cpu_flags == ("avx2", "avx512f", "amx_bf16")


def test_a_system_without_cpuinfo(tmp_path):
    machine = describe_machine(CPU, tmp_path / "missing")
    assert machine.cpu
    assert machine.cpu_flags == ()
