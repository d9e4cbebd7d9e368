"""Scorers as static graphs, for engines that know nothing of torch.

scorer -> trace.py -> onnx_file.py -> openvino.py | onnxruntime.py | tensorrt/ (each a `Runner`)

`export.py` writes a scorer's graph into a file, `exported.py` reads it back, `scoring.py` lets a
scorer of `create_scorer` run on an engine.
"""
