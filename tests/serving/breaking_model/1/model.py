"""A scorer that breaks on white crops, however good the others of their batch are."""

import time

from fiqa_fast.errors import UnavailableError
from fiqa_fast.serving.models.crops_model import CropsModel

WHITE, GREY, SLOW = 255, 128, 1


class TritonPythonModel(CropsModel):
    name, device = "breaking", "cpu"
    widths = {"raw_score": 1}  # noqa: RUF012

    def score(self, crops):
        first_pixel = crops[:, 0, 0, 0]
        if (first_pixel == WHITE).any():
            raise RuntimeError("white")
        if (first_pixel == GREY).any():
            raise UnavailableError("grey")
        if (first_pixel == SLOW).any():
            time.sleep(0.3)
        return {"raw_score": first_pixel[:, None].float()}
