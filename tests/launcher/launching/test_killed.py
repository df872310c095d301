"""kill -9 of trials' processes and of a launcher on clusters; end_to_end/test_sweep_runs has it locally."""

from pathlib import Path

import pytest
from faults.strikes import kill_one
from faults.together import sweep_of
from faults.victim import Victim, for_each
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
    sweep = sweep_of(tmp_path, len(ROLES), steps=STEPS, name=name)
    launcher = sweep.start("sweep", "quick", "--wait")
    wait_until(lambda: len(sweep.trials()) == len(ROLES))
    victims = {Victim(sweep.trial(seed)): role for seed, role in enumerate(ROLES)}
    killed = []

    def strike(victim: Victim) -> None:
        killed.append(kill_one(victim, victims[victim]))

    for_each(list(victims), Victim.has_checkpoint, strike)
    assert killed == [True] * len(ROLES)
    if name == "slurm":  # whose jobs go on; under Ray see test_ray_sweeps
        assert kill(launcher.pid)
        launcher.communicate()
        launcher = sweep.start("sweep", "quick", "--wait")
    code, output = sweep.finish(launcher)
    assert code == 0, output
    assert len(sweep.results()) == len(ROLES)
    assert_as_left_alone(sweep)
    for victim in victims:
        last = victim.attempts()[-1]
        assert last.number >= 2 and read_json(last.environment)["first_step"] > 0
        assert read_json(victim.files.metrics)["attempt"] == last.number, "ran again after it was done"
    wait_until(lambda: not sweep.processes())
