from pathlib import Path

from fiqa_fast.serving.container import IMAGE, container_command
from fiqa_fast.serving.flags import server_flags


def test_command_maps_ports_and_the_repository():
    flags = server_flags(cache_bytes=1 << 20, rate_limit={"cores": 2})
    command = container_command(
        Path("/models/filled"),
        grpc_port=1,
        http_port=2,
        metrics_port=3,
        host="0.0.0.0",
        flags=flags,
    )
    image = command.index(IMAGE)
    assert command[:3] == ["docker", "run", "--rm"]
    assert "--gpus=all" in command[:image]
    for publish in ("0.0.0.0:2:8000", "0.0.0.0:1:8001", "0.0.0.0:3:8002"):
        assert f"--publish={publish}" in command[:image]
    assert "--volume=/models/filled:/models:ro" in command[:image]
    assert command[image + 1 :] == ["tritonserver", "--model-repository=/models", *flags]


def test_flags_follow_the_choices():
    assert "--model-control-mode=none" in server_flags()
    assert not any(flag.startswith("--load-model") for flag in server_flags(load=["a"]))
    explicit = server_flags(model_control="explicit", load=["a", "b"])
    assert [f for f in explicit if f.startswith("--load-model")] == [
        "--load-model=a",
        "--load-model=b",
    ]
    assert "--cache-config=local,size=8" in server_flags(cache_bytes=8)
    limited = server_flags(rate_limit={"cores": 2})
    assert {"--rate-limit=execution_count", "--rate-limit-resource=cores:2"} <= set(limited)
    traced = server_flags(trace_path=Path("/t.json"))
    assert {"--trace-config=triton,file=/t.json", "--trace-config=level=OFF"} <= set(traced)
