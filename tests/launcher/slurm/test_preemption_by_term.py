"""Preemption on a cluster that sends no signal of the user's choice before it: TERM is all a job gets."""

from pathlib import Path

import pytest
from faults.slurm import Preemption
from faults.together import PREEMPTED_GB, PREEMPTOR_MB, submit, sweep_of
from faults.victim import Victim, hold_each
from left_alone import assert_as_left_alone
from slurm_cluster import slurm_cluster

from segda_core.files import read_json

pytestmark = pytest.mark.processes

WITHOUT_USER_SIGNAL = {"SlurmctldParameters": "max_dbd_msg_action=discard"}


def test_it_saves_comes_back_as_the_same_job_and_ends_as_if_left_alone(tmp_path: Path) -> None:
    with slurm_cluster(tmp_path / "slurm", nodes=1, conf=WITHOUT_USER_SIGNAL, grace=60) as cluster:
        sweep = sweep_of(tmp_path / "preempted", 1, name="slurm", partition="low", mem_gb=PREEMPTED_GB)
        submit(sweep)
        victim = Victim(sweep.trial(0))
        hold_each([victim])
        preemption = Preemption(cluster, [victim], PREEMPTOR_MB)
        preemption.strike()
        preemption.carry_on()
        assert victim.statuses()[0] == "saved"
        assert "runner: SIGTERM: " in victim.attempt.log.read_text()
        preemption.end()
        code, output = sweep.run("sweep", "quick", "--wait")
        assert code == 0, output
    assert read_json(victim.attempts()[1].submission)["restart_count"] == 1
    assert victim.statuses() == ["saved", "done"]
    assert_as_left_alone(sweep)
