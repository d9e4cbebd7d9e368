"""A scorer's exported graph as a model: the python-based backends of `serving/backends`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fiqa_fast.engines.exported import load_exported
from fiqa_fast.serving.engine_file import NAME, EngineFile
from fiqa_fast.serving.models.crops_model import CropsModel, Outputs
from fiqa_fast.serving.promise import check_promise, promised_provenance
from fiqa_fast.serving.typed_record import read_record


class EngineModel(CropsModel):
    """Outputs `raw_score`: float32 [B, O]; `embedding`: float32 [B, D], where it was exported."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the graph; refuses when it is not what config.pbtxt promises.

        Raises:
            FiqaError: the graph cannot be loaded, or is another one than promised.
        """
        folder = Path(args["model_repository"]) / args["model_version"]
        file = read_record(EngineFile, folder / NAME)
        torch.set_num_threads(file.threads)
        config = json.loads(args["model_config"])
        self.name, self.device = args["model_name"], "cpu"
        self._widths = {tensor["name"]: int(tensor["dims"][0]) for tensor in config["output"]}
        self._exported = load_exported(folder / file.graph, threads=file.threads)
        promised = promised_provenance(config)
        check_promise(self.name, promised, self._exported.provenance, stands_in=file.stands_in)

    @property
    def widths(self) -> Mapping[str, int]:
        """See `CropsModel`."""
        return self._widths

    def score(self, crops: Tensor) -> Outputs:
        """See `CropsModel`."""
        found = self._exported.run(crops.numpy())
        return {name: torch.from_numpy(found[name]) for name in self._widths}

    def finalize(self) -> None:
        """Lets the graph go."""
        del self._exported
