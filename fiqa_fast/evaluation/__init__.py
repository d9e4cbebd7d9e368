"""Evaluation of quality methods: protocols, error rates, EDC curves, templates, agreement."""
