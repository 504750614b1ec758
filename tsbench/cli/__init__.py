"""The command line: `tsbench VERB`. Each verb parses, calls and prints; what it needs is imported when it is called."""

from __future__ import annotations

from tsbench.cli.app import app

__all__ = ["app"]
