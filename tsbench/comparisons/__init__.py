"""Compares classifiers by their results in MLflow; a result that was not logged cannot be compared."""
