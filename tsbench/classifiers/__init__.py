"""Classifiers: their contract, the network ensemble, baselines and votes."""
