"""The operators behind the scorers: one file each, with its fake and its plain reference twin."""

from fiqa_fast.ops.abs_sum import abs_sum
from fiqa_fast.ops.bn_add_bn import bn_add_bn, bn_add_bn_backward
from fiqa_fast.ops.bn_discrepancy import bn_discrepancy
from fiqa_fast.ops.bn_prelu import bn_prelu, bn_prelu_backward
from fiqa_fast.ops.dropout_copies import dropout_copies
from fiqa_fast.ops.prelu_difference import prelu_difference, prelu_difference_backward
from fiqa_fast.ops.quantize import quantize
from fiqa_fast.ops.sign_step import sign_step

__all__ = [
    "abs_sum",
    "bn_add_bn",
    "bn_add_bn_backward",
    "bn_discrepancy",
    "bn_prelu",
    "bn_prelu_backward",
    "dropout_copies",
    "prelu_difference",
    "prelu_difference_backward",
    "quantize",
    "sign_step",
]
