import pytest

from fiqa_fast.calibration import Calibration
from fiqa_fast.scorers.registry import list_scorers


@pytest.mark.slow
def test_every_output_in_every_variant_gets_percentiles(build_calibration, sface32, golden_dir):
    crops = build_calibration.load_crops(str(golden_dir / "crops"))
    assert crops.shape == (18, 112, 112, 3)
    calibrations = build_calibration.calibrate(crops[:2], sface32, "two faces")
    assert all(isinstance(c, Calibration) for c in calibrations)
    expected = [
        (spec.name, output, variant)
        for spec in list_scorers()
        for variant in spec.variants or ("official",)
        for output in spec.outputs
    ]
    assert [(c.scorer, c.output, c.variant) for c in calibrations] == expected
    for calibration in calibrations:
        assert calibration.reference_set == "two faces (2 faces)"
        assert len(calibration.raw_scores) == 101
