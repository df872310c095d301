"""Core tests compute on one thread: their networks are too small for more, and test runs share cores.

Previews are narrow, for they take longer to write than a small trial takes to be scored.
"""

from functools import cache

import pytest
import torch
from trials import write_domains

from segda_core.distributed import connect
from segda_core.inference import pictures
from segda_core.trials import environment

torch.set_num_threads(1)
pictures.PREVIEW_WIDTH = 32


@pytest.fixture(scope="module", autouse=True)
def one_checkout():
    """Git is asked once a module which code this is, not twice a trial."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "code_version", cache(environment.code_version))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    write_domains(folder)
    return folder


@pytest.fixture
def world():
    with connect(1) as joined:
        yield joined
