"""A scorer as a model of Triton's python backend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fiqa_fast.serving.models.crops_model import CropsModel, Outputs
from fiqa_fast.serving.promise import check_promise, promised_provenance
from fiqa_fast.serving.scorer_file import NAME, ScorerFile
from fiqa_fast.serving.typed_record import read_record


class ScorerModel(CropsModel):
    """Output `raw_score`: float32 [B, O], NaN where a crop could not be scored."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the scorer; refuses when it is not what config.pbtxt promises.

        Raises:
            FiqaError: the scorer cannot be made, or is another one than promised.
        """
        folder = Path(args["model_repository"]) / args["model_version"]
        is_on_gpu = args["model_instance_kind"] == "GPU"
        file = read_record(ScorerFile, folder / NAME)
        torch.set_num_threads(file.threads)
        self.name = args["model_name"]
        self.device = f"cuda:{args['model_instance_device_id']}" if is_on_gpu else "cpu"
        self._outputs = file.outputs
        self._scorer = file.load(folder, self.device)
        promised = promised_provenance(json.loads(args["model_config"]))
        loaded = file.provenance(self._scorer)
        check_promise(self.name, promised, loaded, stands_in=file.stands_in)

    @property
    def widths(self) -> Mapping[str, int]:
        """See `CropsModel`."""
        return {"raw_score": len(self._outputs)}

    def score(self, crops: Tensor) -> Outputs:
        """See `CropsModel`."""
        images = crops.permute(0, 3, 1, 2)
        if self._outputs == (self._scorer.output,):
            return {"raw_score": self._scorer.score(images)[:, None]}
        scores = self._scorer.score_all(images)
        return {"raw_score": torch.stack([scores[output] for output in self._outputs], dim=1)}

    def finalize(self) -> None:
        """Lets the network go."""
        del self._scorer
