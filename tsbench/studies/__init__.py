"""The search: studies, the trials they are made of, and the workers that run them."""
