"""Splitting cases into folds and resamples, and scoring predictions."""
