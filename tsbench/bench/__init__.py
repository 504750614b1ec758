"""Runs a recipe, end to end, over data sets and resamples."""
