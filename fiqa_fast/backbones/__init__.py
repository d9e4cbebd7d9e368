"""Recognition networks behind the contract of `base.Backbone`; `families/` has one file a kind."""
