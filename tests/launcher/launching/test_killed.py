"""kill -9 of trials' processes and of a launcher on clusters; end_to_end/test_sweep_runs has it locally."""

from pathlib import Path

import pytest
from faults.strikes import kill_one
from faults.together import sweep_of
from faults.victim import Victim
from left_alone import assert_as_left_alone
from small_sweep import kill, wait_until

from segda_core.files import read_json

pytestmark = pytest.mark.processes

ROLES = ("torchrun", "runner")
STEPS = 150


@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_trials_go_on_from_their_checkpoints_and_end_as_those_left_alone(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "slurm":
        request.getfixturevalue("slurm")
    else:
        request.getfixturevalue("stand_in")(tmp_path / "locks")
    sweep = sweep_of(tmp_path, 1, steps=STEPS, name=name)
    launcher = sweep.start("sweep", "quick", "--wait")
    wait_until(sweep.trials)
    for number, role in enumerate(ROLES, start=1):
        victim = Victim(sweep.trial(0), number)
        wait_until(victim.has_checkpoint)
        assert kill_one(victim, role)
    if name == "slurm":  # whose jobs go on; under Ray see test_ray_sweeps
        assert kill(launcher.pid)
        launcher.communicate()
        launcher = sweep.start("sweep", "quick", "--wait")
    code, output = sweep.finish(launcher)
    assert code == 0, output
    assert_as_left_alone(sweep)
    starts = [read_json(attempt.environment)["first_step"] for attempt in sweep.attempts()]
    assert len(starts) >= 3 and 0 == starts[0] < starts[1] < starts[2]
    assert read_json(victim.files.metrics)["attempt"] == len(starts), "ran again after it was done"
    wait_until(lambda: not sweep.processes())
