"""A model that loads in no time: y is the process that answers."""

import os

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        y = pb_utils.Tensor("y", np.array([os.getpid()], np.float32))
        return [pb_utils.InferenceResponse([y]) for _ in requests]
