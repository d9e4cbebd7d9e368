"""What runs inside Triton: one class per kind of model; `model.py` files only name them."""
