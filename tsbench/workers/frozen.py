"""Imported last in the process that workers are forked from.

A worker's garbage collector would write to every object that it looks at, and so copy the memory that all share.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
