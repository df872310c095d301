"""Core tests compute on one thread: their networks are too small for more, and test runs share cores.

Previews are narrow, for they take longer to write than a small trial takes to be scored.
"""

import pytest
import torch
from trials import write_domains

from segda_core import pictures
from segda_core.distributed import connect

torch.set_num_threads(1)
pictures.PREVIEW_WIDTH = 96


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    write_domains(folder)
    return folder


@pytest.fixture
def world():
    with connect(1) as joined:
        yield joined
