"""TensorRT and TensorRT-RTX: from an ONNX file to a plan, and from a plan to numbers.

ONNX file -> build.py -> NAME.plan and NAME.plan.json -> runtime.py (a `Runner`)

| file | what it knows |
|---|---|
| `libraries.py` | the two libraries behind one interface, imported when asked for |
| `messages.py` | what they say while they work, and why something failed |
| `onnx_model.py` | what a graph is: inputs, number formats, structure, provenance |
| `batch_profile.py` | for which batch sizes a plan is made |
| `targets.py` | for which GPUs a plan is made |
| `graph_for_parser.py` | what is rewritten in a graph so that the libraries can read it: |
| `uint8_inputs.py` | - uint8 inputs, which they can only convert |
| `spread.py` | - bfloat16 transposed convolutions, which TensorRT-RTX does not have |
| `turing.py` | - float32 matrix products as convolutions, for GPUs of compute capability 7.5 |
| `timing_cache.py` | measured kernels, kept from one build to the next |
| `build.py` | the build |
| `plan_file.py` | plan and record on disk, and what must agree before a plan is loaded |
| `tensors.py` | names, dtypes and shapes of a plan's inputs and outputs; checks of what is given |
| `lane.py` | a context, its streams and its buffers: what one call needs |
| `runtime.py` | the engine: lanes for threads, numpy or CUDA tensors in and out |
| `runtime_cache.py` | what TensorRT-RTX compiled on a GPU, kept for the next start |
| `refit.py` | other weights of the same architecture into a loaded engine |

Nothing here has run on a GPU: builds ran with TensorRT-RTX ahead of time, the rest against the
stand-in of tests/engines/tensorrt.
"""

from fiqa_fast.engines.tensorrt.batch_profile import BatchProfile
from fiqa_fast.engines.tensorrt.build import build_engine
from fiqa_fast.engines.tensorrt.plan_file import PlanRecord, read_record
from fiqa_fast.engines.tensorrt.runtime import TensorRTEngine

__all__ = ["BatchProfile", "PlanRecord", "TensorRTEngine", "build_engine", "read_record"]
