"""The quality methods: one paper per file, all behind the contract of `base.Scorer`."""
