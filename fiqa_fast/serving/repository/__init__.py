"""Model repositories: `settings.py` is what the user wants, `build.py` fills, `check.py` checks."""
