"""Weights files in the formats in which networks are released, read without running code."""
