"""Core tests compute on one thread: their networks are too small for more, and test runs share cores."""

import torch

torch.set_num_threads(1)
