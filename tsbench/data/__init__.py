"""Data sets: finding their files, reading them, and holding their cases."""
