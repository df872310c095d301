"""Faults of a network file system: which pass, and for how long."""

import errno

import pytest

from launcher import momentary
from launcher.momentary import Patience


def fail(number: int) -> None:
    raise OSError(number, "as the file system says")


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_a_look_that_meets_a_passing_fault_is_left_without_error(number: int) -> None:
    with Patience().look("file"):
        fail(number)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.ENOENT, errno.EMFILE])
def test_an_answer_is_no_passing_fault(number: int) -> None:
    with pytest.raises(OSError, match="as the file system says"), Patience().look("file"):
        fail(number)


def test_a_fault_that_lasts_counts_and_one_after_a_good_look_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(momentary.time, "monotonic", lambda: now)
    patience = Patience()
    with patience.look("file"):
        fail(errno.ESTALE)
    now = momentary.PATIENCE_S
    with pytest.raises(OSError, match="as the file system says"), patience.look("file"):
        fail(errno.ESTALE)
    with patience.look("file"):
        pass
    with patience.look("file"):
        fail(errno.ESTALE)
