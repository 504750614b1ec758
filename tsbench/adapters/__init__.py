"""Private names of libraries, one module for each library, whose version pyproject.toml therefore bounds.

No other module uses a name of a library that begins with an underscore; `tests/test_private_names.py` checks it.
"""
