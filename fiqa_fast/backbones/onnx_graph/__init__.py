"""Networks in ONNX files whose tensors have no telling names: found by following the graph."""
