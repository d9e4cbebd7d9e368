"""Triton Inference Server: model repositories from a short YAML, the models in them, the server.

`repository/` fills and checks a model repository, `models/` is what runs inside Triton, `backends/`
stands in for engines that a machine lacks, `server.py` runs tritonserver from the environment that
`make serve-env` makes.
"""
