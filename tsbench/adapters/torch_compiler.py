"""For workers to import beforehand: an optimizer's first step imports it, which takes a second."""

import torch._dynamo  # noqa: F401
