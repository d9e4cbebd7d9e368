"""Recognition networks: one family per file, all behind the contract of `base.Backbone`."""
