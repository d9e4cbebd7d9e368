from fiqa_fast.quality.source import parameters_text, source_of
from fiqa_fast.scorers.registry import create_scorer


def test_the_source_of_a_scorer(sface32):
    scorer = create_scorer("faceqan", backbone=sface32, variant="paper", k=3)
    source = source_of(scorer, "score")
    assert (source.scorer, source.output, source.variant) == ("faceqan", "score", "paper")
    assert source.parameters == '{"eps": 0.001, "k": 3, "l": 5, "p": 5}'
    assert (source.backbone, source.bn_statistics) == ("sface", "training")
    assert source.weights_sha256 == sface32.weights_sha256
    assert source.higher_is_better
    assert source.name == "faceqan"


def test_neither_the_output_nor_what_is_left_to_the_method_is_a_parameter(sface32):
    scorer = create_scorer("grafiqs", backbone=sface32, output="b1")
    source = source_of(scorer, "b1")
    assert source.parameters == "{}"
    assert source.name == "grafiqs b1"


def test_equal_parameters_give_equal_text():
    assert parameters_text({"b": 1, "a": 8}) == parameters_text({"a": 8.0, "b": 1, "new": None})
    assert parameters_text({"a": 8.5}) != parameters_text({"a": 8})
    assert parameters_text({"a": True}) == '{"a": true}'
    assert parameters_text({}) == "{}"
