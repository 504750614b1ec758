"""What people do with recorded models: open, predict, explain, export, reproduce."""
