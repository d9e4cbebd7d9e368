"""The networks: one family per file, under the names of their released weights."""
