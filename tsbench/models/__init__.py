"""Uses of recorded models: open, predict, explain, export, reproduce."""
