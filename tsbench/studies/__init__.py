"""Studies: their specification, storage, trials, sampling and pruning."""
