"""When a runner takes its workers for stuck."""

import time
from pathlib import Path

import pytest

from launcher.attempt import ASLEEP_S, StallClock
from segda_core.files import write_json
from segda_core.trials.layout import TrialFiles


def test_only_time_in_which_the_runner_ran_itself_counts_as_standing_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm may suspend a job for hours, runner and workers alike."""
    clock = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    attempt = TrialFiles(tmp_path / "trial").attempt(1)
    write_json(attempt.heartbeat, {"step": 1, "phase": "train"})
    stall = StallClock(attempt)
    for passed, minutes in ((0, 0.0), (ASLEEP_S / 2, 0.0), (6, 0.1), (3600, 0.1), (6, 0.2)):
        clock += passed
        if passed == ASLEEP_S / 2:
            write_json(attempt.heartbeat, {"step": 2, "phase": "train"})
        assert stall.still_for_min() == pytest.approx(minutes)
