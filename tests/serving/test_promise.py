from dataclasses import replace

import pytest

from fiqa_fast.errors import InvalidArgumentError, WeightsError
from fiqa_fast.provenance import provenance_of
from fiqa_fast.scorers.registry import create_scorer
from fiqa_fast.serving.promise import check_promise, promised_provenance


@pytest.fixture(scope="module")
def provenance(sface32):
    return provenance_of(create_scorer("ser-fiq", backbone=sface32))


def test_is_read_from_a_configuration(provenance):
    config = {"name": "m", "parameters": {"fiqa": {"string_value": provenance.to_json()}}}
    assert promised_provenance(config) == provenance
    with pytest.raises(WeightsError, match="m: expected the provenance"):
        promised_provenance({"name": "m"})
    with pytest.raises(InvalidArgumentError, match="provenance"):
        promised_provenance({"parameters": {"fiqa": {"string_value": "{}"}}})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights_sha256", "0" * 64),
        ("precision", "bf16"),
        ("variant", "paper"),
        ("parameters", '{"T": 3}'),
        ("outputs", ("a", "b")),
        ("engine", "reference"),
        ("device", "cuda:0"),
        ("seed", 1),
        ("version", "9"),
    ],
)
def test_any_difference_is_refused_by_name(provenance, field, value):
    with pytest.raises(WeightsError, match=f"m: expected what config.pbtxt promises, {field}="):
        check_promise("m", replace(provenance, **{field: value}), provenance)


def test_instances_may_run_on_any_device_of_the_kind(provenance):
    check_promise("m", replace(provenance, device="cuda:0"), replace(provenance, device="cuda:3"))


def test_stand_in_may_differ_in_engine_and_device_only(provenance):
    promised = provenance.on("tensorrt", "cuda:0")
    check_promise("m", promised, provenance, stands_in=True)
    with pytest.raises(WeightsError, match="precision"):
        check_promise("m", replace(promised, precision="fp16"), provenance, stands_in=True)
