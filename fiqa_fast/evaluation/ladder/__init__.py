"""A ladder of degraded crops: known to get worse, step by step, so that scores can be checked."""
