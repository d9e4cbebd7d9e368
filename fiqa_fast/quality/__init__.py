"""Calibrations: how they are made, kept in files, and turned into a threshold.

`fiqa_fast.calibration` holds the public names.
"""
