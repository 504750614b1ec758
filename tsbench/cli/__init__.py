"""The command line: `tsbench VERB`. Each verb parses, calls and prints; what it needs is imported when it is called."""

from __future__ import annotations

import os

# Pydantic would read the metadata of every installed package for plugins, a tenth of the time of a short command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from tsbench.cli.app import app

__all__ = ["app"]
