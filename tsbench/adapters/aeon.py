"""Private names of aeon 1.6."""

from __future__ import annotations

from aeon.classification.dictionary_based._weasel_v2 import WEASELTransformerV2  # not exported publicly

__all__ = ["WEASELTransformerV2"]
