"""Recipes: the tree of settings, the search-space language, and reading both from YAML."""
