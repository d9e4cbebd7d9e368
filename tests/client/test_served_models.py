import json

import pytest
from triton_stand_in import ensemble_model, provenance

from fiqa_fast.client import ContractError, ModelUnavailableError
from fiqa_fast.client.connection import ModelConfig
from fiqa_fast.client.served_models import (
    choose_columns,
    choose_models,
    ensemble_columns,
    scorer_columns,
)
from fiqa_fast.errors import InvalidArgumentError

GRAFIQS = provenance("grafiqs", ("b1", "b2"))
SER_FIQ = provenance("ser-fiq")
OTHER_SER_FIQ = provenance("ser-fiq", backbone="iresnet50")


def _ensemble(*columns):
    promise = ensemble_model(*columns).promise
    return ensemble_columns(ModelConfig("fiqa", 4, {"fiqa": promise}))


def _names(columns):
    return [(c.model, c.output, c.position) for c in columns]


def test_a_scorer_tells_of_all_its_outputs():
    columns = scorer_columns(ModelConfig("grafiqs", 4, {"fiqa": GRAFIQS.to_json()}))
    assert _names(columns) == [("grafiqs", "b1", 0), ("grafiqs", "b2", 1)]
    assert {c.provenance for c in columns} == {GRAFIQS}


@pytest.mark.parametrize("parameters", [{}, {"other": "{}"}, {"fiqa": "[]"}])
def test_other_models_are_no_scorers(parameters):
    assert scorer_columns(ModelConfig("face_preprocess", 4, parameters)) is None


def test_a_scorer_of_another_version_is_refused():
    with pytest.raises(ContractError, match="of this version"):
        scorer_columns(ModelConfig("grafiqs", 4, {"fiqa": '{"scorer": "grafiqs"}'}))


def test_methods_come_in_the_order_in_which_they_are_named():
    columns = _ensemble(
        ("grafiqs", "b1", GRAFIQS), ("grafiqs", "b2", GRAFIQS), ("ser_fiq", "score", SER_FIQ)
    )
    every = choose_columns(columns, None, all_outputs=False)
    assert _names(every) == [("grafiqs", "b2", 1), ("ser_fiq", "score", 2)]
    named = choose_columns(columns, ["ser-fiq", "grafiqs"], all_outputs=True)
    assert _names(named) == [("ser_fiq", "score", 2), ("grafiqs", "b1", 0), ("grafiqs", "b2", 1)]


def test_a_scorer_may_have_several_models():
    columns = _ensemble(("small", "score", SER_FIQ), ("large", "score", OTHER_SER_FIQ))
    both = choose_columns(columns, ["ser-fiq"], all_outputs=False)
    assert _names(both) == [("small", "score", 0), ("large", "score", 1)]
    one = choose_columns(columns, ["large"], all_outputs=False)
    assert _names(one) == [("large", "score", 1)]


def test_what_the_ensemble_lacks_is_refused():
    columns = _ensemble(("grafiqs", "b2", GRAFIQS))
    with pytest.raises(InvalidArgumentError, match=r"\(of grafiqs\), got 'faceqan'"):
        choose_columns(columns, ["faceqan"], all_outputs=False)
    with pytest.raises(InvalidArgumentError, match="expected the outputs b1, b2 of grafiqs"):
        choose_columns(columns, None, all_outputs=True)


@pytest.mark.parametrize("text", ["", "{", "{}x", "3", json.dumps([{"model": "a"}])])
def test_an_ensemble_without_provenance_is_refused(text):
    with pytest.raises(ContractError, match="where its scores come from"):
        ensemble_columns(ModelConfig("fiqa", 4, {"fiqa": text}))


def test_models_go_by_their_own_names_and_those_of_scorers():
    served = ["ser_fiq", "ser-fiq", "cr_fiqa"]
    assert choose_models(["ser-fiq", "ser_fiq", "cr-fiqa"], served) == [
        "ser-fiq",
        "ser_fiq",
        "cr_fiqa",
    ]
    with pytest.raises(ModelUnavailableError, match="'faceqan'"):
        choose_models(["faceqan"], served)
