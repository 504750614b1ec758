"""Private names of libraries, one module for each library, which has an upper bound in pyproject.toml for their sake.

No other module uses a name of a library that begins with an underscore; `tests/test_private_names.py` checks it.
"""
