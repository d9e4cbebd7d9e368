"""Evaluation of quality methods.

Where to begin:

- `metrics`: classes that collect comparisons batch by batch;
- `edc`, `areas`, `error_rates`, `bootstrap`, `templates`: functions of arrays;
- `protocols.catalogue.load_protocol`: data sets; `embeddings`: of their samples;
- `run.evaluate_protocol`: all methods with all recognition networks at once;
- `ladder`: crops that are known to get worse.
"""
