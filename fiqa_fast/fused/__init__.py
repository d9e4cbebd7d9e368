"""Networks as fused programs: explicit passes forward and back, without autograd."""
