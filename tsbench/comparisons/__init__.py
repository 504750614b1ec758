"""Comparing classifiers by what MLflow holds; what is not logged does not exist."""
