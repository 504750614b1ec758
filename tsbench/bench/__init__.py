"""Carries a recipe out, end to end, over data sets and resamples."""
