"""The operators behind the scorers: one file each, with its fake and its plain reference twin."""

from fiqa_fast.ops.abs_sum import abs_sum
from fiqa_fast.ops.bn_discrepancy import bn_discrepancy
from fiqa_fast.ops.sign_step import sign_step

__all__ = ["abs_sum", "bn_discrepancy", "sign_step"]
