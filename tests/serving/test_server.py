"""The process: start, stop, crash. With a model that loads in no time."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from fiqa_fast.errors import InvalidArgumentError, UnavailableError
from fiqa_fast.serving.server import TritonServer

HERE = Path(__file__).parent


@pytest.fixture
def tiny(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "tiny_model").symlink_to(HERE / "tiny_model")
    return folder


def answering_process(server: TritonServer) -> int:
    x = triton.InferInput("x", [1], "FP32")
    x.set_data_from_numpy(np.zeros(1, np.float32))
    with triton.InferenceServerClient(server.grpc_address) as client:
        return int(client.infer("tiny_model", [x], client_timeout=30).as_numpy("y")[0])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until(condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shared_memory() -> set[str]:
    return {p.name for p in Path("/dev/shm").glob(f"fiqa_serve_{os.getpid()}_*")}


def test_comes_back_under_its_addresses_after_a_crash_and_leaves_nothing(tiny):
    before = shared_memory()
    server = TritonServer(tiny)
    with server:
        addresses = server.grpc_address, server.http_address, server.metrics_address
        assert len(set(addresses)) == 3
        first, model = server.pid, answering_process(server)
        assert server.is_ready()
        assert "Started GRPCInferenceService" in server.log
        assert shared_memory() > before

        server.kill()
        assert not server.is_running()
        assert not server.is_ready()
        wait_until(lambda: not is_alive(model))
        with pytest.raises(UnavailableError, match="start it"):
            _ = server.pid
        assert shared_memory() <= before

        server.start()
        assert (server.grpc_address, server.http_address, server.metrics_address) == addresses
        assert server.pid != first
        model = answering_process(server)
        with pytest.raises(InvalidArgumentError, match="stop it first"):
            server.start()
    assert not server.is_running()
    wait_until(lambda: not is_alive(model))
    assert shared_memory() <= before
    server.stop()  # once more does no harm


def test_ends_with_its_owner_however_that_one_ends(tiny):
    program = """
import sys, time
from pathlib import Path
from fiqa_fast.serving.server import TritonServer
server = TritonServer(Path(sys.argv[1]))
server.start()
print(server.pid, server._folder, flush=True)
time.sleep(300)
"""
    command = [sys.executable, "-c", program, tiny]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            pid, folder = owner.stdout.readline().split()
        finally:
            owner.kill()
    wait_until(lambda: not is_alive(int(pid)))
    wait_until(lambda: not Path(folder).exists())
    wait_until(lambda: not list(Path("/dev/shm").glob(f"fiqa_serve_{owner.pid}_*")))


def test_notices_a_process_that_ended_by_itself(tiny):
    with TritonServer(tiny) as server:
        assert server.wait(0.01) is None
        os.kill(server.pid, signal.SIGKILL)
        assert server.wait(30) == -signal.SIGKILL
        assert not server.is_running()


def test_model_that_does_not_load_is_told_with_its_reason(tiny):
    broken = tiny / "broken"
    (broken / "1").mkdir(parents=True)
    (broken / "config.pbtxt").write_text('name: "broken"\nbackend: "python"\n')
    (broken / "1" / "model.py").write_text("raise RuntimeError('there is no cheese')\n")
    server = TritonServer(tiny)
    with pytest.raises(UnavailableError, match="there is no cheese"):
        server.start()
    assert not server.is_running()


def test_explicit_control_loads_what_is_named_and_none_all(tiny, tmp_path):
    log = tmp_path / "kept.log"
    with TritonServer(tiny, load=(), log_path=log) as server:
        with pytest.raises(InferenceServerException, match=r"no available versions|not found"):
            answering_process(server)
        with triton.InferenceServerClient(server.grpc_address) as client:
            client.load_model("tiny_model")
        assert answering_process(server)
    assert "Signal (15) received" in log.read_text()
    with TritonServer(tiny, model_control="none") as server:
        assert answering_process(server)
        with (
            triton.InferenceServerClient(server.grpc_address) as client,
            pytest.raises(InferenceServerException, match="not allowed"),
        ):
            client.unload_model("tiny_model")


def test_ports_can_be_chosen_and_a_taken_one_is_told(tiny):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = TritonServer(tiny, grpc_port=taken.getsockname()[1])
        with pytest.raises(UnavailableError, match=str(taken.getsockname()[1])):
            server.start()


def test_folder_must_exist(tmp_path):
    with pytest.raises(InvalidArgumentError, match="build-repo"):
        TritonServer(tmp_path / "nothing")


def test_start_command_runs_until_it_is_told_to_stop(tiny):
    command = [Path(sys.executable).with_name("fiqa-fast"), "serve", "start", tiny, "--cpu"]
    command += ["--grpc-port=0", "--http-port=0", "--metrics-port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if line.startswith("ready"):
                    break
            server = int(lines[-1].split()[2].rstrip(";"))
            assert is_alive(server)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
        assert process.stdout.read() == "stopped\n"
    assert [line.partition(":")[0] for line in lines[:3]] == ["grpc", "http", "metrics"]
    assert not is_alive(server)
