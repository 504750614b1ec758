"""Classifiers: the fitted network ensemble, and the baselines."""
