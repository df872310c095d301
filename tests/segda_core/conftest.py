"""Core tests compute on one thread: their networks are too small for more, and test runs share cores.

Previews are narrow, for they take longer to write than a small trial takes to be scored.
"""

import torch

from segda_core import pictures

torch.set_num_threads(1)
pictures.PREVIEW_WIDTH = 96
