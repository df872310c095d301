"""What Slurm does to jobs, to real trials: each ends with the metrics of a run that nothing happened to.

The faults of one array happen at the same time, since most of theirs is waiting for Slurm.
"""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.slurm import ControllerRestart, job_of
from faults.together import (
    ABRUPT,
    CANCELLED,
    DARK,
    GRACEFUL,
    GROUPS,
    LIMITED,
    NAMES,
    REQUEUED,
    ZOMBIE,
    Together,
    submit,
    submit_together,
    sweep_of,
)
from faults.victim import Victim, hold_each
from left_alone import assert_as_left_alone
from private_slurm.cluster import Cluster
from slurm_cluster import settle
from small_sweep import SmallSweep, wait_until

from launcher.commands.sweep import INTERRUPTED
from launcher.slurm.requeue import requeue
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

pytestmark = pytest.mark.processes


@dataclass
class Struck:
    """Sweeps after all these faults."""

    sweeps: list[SmallSweep]
    victims: dict[str, Victim]
    meanwhile: dict[str, tuple[str, str]]
    """State and message by fault, when the cancelled and the preempted jobs had left."""
    woken: set[str]
    """Files that what ran on the lost node changed when it went on, beside the next attempt on another."""


@pytest.fixture(scope="module")
def struck(shared_slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Struck:
    try:
        return strike_together(shared_slurm, tmp_path_factory.mktemp("faults"))
    finally:
        settle(shared_slurm)


def strike_together(cluster: Cluster, folder: Path) -> Struck:
    sweeps, victims = submit_together(folder, cluster)
    hold_each(list(victims.values()))
    faults = Together(cluster, victims)
    faults.strike()
    faults.carry_on_soon()
    said = [said_of(sweep) for sweep in sweeps]
    meanwhile = {
        name: said[number][victims[name].files.root.name]
        for number, group in enumerate(GROUPS)
        for name in group
    }
    faults.carry_on_late()
    before = contents(victims[ZOMBIE].attempt)
    second = Victim(victims[ZOMBIE].files, 2)
    hold_each([second])
    faults.wake()
    after = contents(victims[ZOMBIE].attempt)
    second.go_on()
    for sweep in sweeps:
        finish(sweep)
    woken = {name for name in after if before.get(name) != after[name]}
    return Struck(sweeps, victims, meanwhile, woken)


def finish(sweep: SmallSweep) -> None:
    """Wait for the end, as another launcher would."""
    code, output = sweep.run("sweep", "quick", "--wait")
    assert code == 0, output


def said_of(sweep: SmallSweep) -> dict[str, tuple[str, str]]:
    """State and message by id."""
    listed = json.loads(sweep.run("status", "quick", "--json")[1])["quick"]
    return {status["id"]: (status["state"], status["message"]) for status in listed}


def contents(attempt: AttemptFiles) -> dict[str, bytes]:
    files = [path for path in attempt.root.rglob("*") if path.is_file()]
    return {str(path.relative_to(attempt.root)): path.read_bytes() for path in files}


def test_each_trial_is_done_once_with_the_metrics_of_one_left_alone(struck: Struck) -> None:
    assert_as_left_alone(*struck.sweeps)
    assert [sweep.processes() for sweep in struck.sweeps] == [[]] * len(GROUPS)
    for victim in struck.victims.values():
        assert read_json(victim.files.metrics)["attempt"] == victim.files.attempt_numbers()[-1]


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        (LIMITED, ["saved"]),
        (REQUEUED, ["saved", None]),  # in the seconds between TERM and KILL
        (CANCELLED, ["saved", None]),
        (GRACEFUL, ["saved"]),
        (ABRUPT, ["saved", None]),
        (DARK, [None]),
        (ZOMBIE, ["superseded"]),
    ],
)
def test_how_the_attempt_ended_that_it_happened_to(
    struck: Struck, name: str, possible: list[str | None]
) -> None:
    first, second, *_ = struck.victims[name].statuses()
    assert first in possible
    assert second != "failed"


@pytest.mark.parametrize("name", NAMES)
def test_all_but_the_cancelled_come_back_as_the_same_job(struck: Struck, name: str) -> None:
    first, second = (read_json(attempt.submission) for attempt in struck.victims[name].attempts()[:2])
    same = name != CANCELLED
    assert (second["job_name"] == first["job_name"]) is same
    assert second.get("restart_count", 0) == same


@pytest.mark.parametrize("name", NAMES)
def test_all_go_on_from_a_checkpoint(struck: Struck, name: str) -> None:
    second = struck.victims[name].attempts()[1]
    assert read_json(second.environment)["first_step"] > 0


def test_what_is_said_of_them_meanwhile(struck: Struck) -> None:
    assert struck.meanwhile[CANCELLED] == ("missing", "its job was cancelled outside segda (scancel)")
    for name in (GRACEFUL, ABRUPT):
        assert struck.meanwhile[name][0] == "queued"


def test_what_wakes_up_on_a_lost_node_changes_nothing(struck: Struck) -> None:
    """Its own attempt says that it was superseded; rows that it adds no history has, as compared above."""
    grown = {name for name in struck.woken if name.startswith("tensorboard/")} | {"history.jsonl"}
    assert struck.woken <= {"log.txt", "superseded.json", "outcome.json"} | grown
    assert {"superseded.json", "outcome.json"} <= struck.woken


def test_a_controller_that_comes_back_finds_its_jobs(slurm: Cluster, tmp_path: Path) -> None:
    """One trial ends while it is away, with nobody to be told."""
    sweep = sweep_of(tmp_path, 1, name="slurm")
    waiting = sweep.start("sweep", "quick", "--wait")
    wait_until(sweep.attempts)
    victim = Victim(sweep.trial(0))
    hold_each([victim])
    restart = ControllerRestart(slurm)
    restart.strike()
    status = sweep.run("status", "quick")[1]
    assert "unknown since" in status and "1 running" in status, "its heartbeat says that it runs"
    victim.go_on()
    wait_until(victim.attempt.outcome.exists)
    restart.carry_on()
    code, output = sweep.finish(waiting)
    assert code == 0, output
    assert len(sweep.attempts()) == 1
    assert_as_left_alone(sweep)


def test_what_one_executor_began_another_goes_on_with(slurm: Cluster, tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, 1, name="slurm")
    local = sweep.start("sweep", "quick", "--executor=local")
    wait_until(sweep.attempts)
    here = Victim(sweep.trial(0))
    hold_each([here])
    local.send_signal(signal.SIGINT)
    here.go_on_when_asked()
    assert sweep.finish(local)[0] == INTERRUPTED
    submit(sweep)
    victim = Victim(sweep.trial(0), 2)
    hold_each([victim])
    slurm.check("scancel", job_of(slurm, victim.attempt))
    victim.go_on_when_asked()
    wait_until(lambda: not slurm.check("squeue", "--noheader").strip())
    submit(sweep, "--executor=local")
    assert_as_left_alone(sweep)
    first, second, third = victim.statuses()
    assert (first, third) == ("saved", "done") and second in ("saved", None)
    executors = [read_json(attempt.submission)["executor"] for attempt in victim.attempts()]
    assert executors == ["local", "slurm", "local"]
    starts = [read_json(attempt.environment)["first_step"] for attempt in victim.attempts()]
    assert 0 == starts[0] < starts[1] < starts[2]


def on_two_nodes(folder: Path, ranks: int, **settings: object) -> SmallSweep:
    sweep = sweep_of(folder, 1, ranks=ranks, name="slurm", nodes=2, **settings)
    submit(sweep)
    return sweep


def test_two_nodes_with_two_ranks_equal_one_with_four(slurm: Cluster, tmp_path: Path) -> None:
    sweep = on_two_nodes(tmp_path / "two nodes", 4, steps=20)
    finish(sweep)
    assert_as_left_alone(sweep)
    assert len(sweep.attempts()) == 1


def test_both_nodes_of_a_job_that_is_queued_again_meet_in_the_next_attempt(
    slurm: Cluster, tmp_path: Path
) -> None:
    """One rank on each: with two, weights after a resume were seen to differ in the last bits."""
    sweep = on_two_nodes(tmp_path / "two nodes", 2)
    victim = Victim(sweep.trial(0))
    hold_each([victim])
    assert len(victim.held) == 2
    assert all(victim.attempt.runner(node).exists() for node in (0, 1))
    job = job_of(slurm, victim.attempt)
    slurm.check("scancel", "--signal=USR2", job)
    victim.go_on_when_asked()
    wait_until(sweep.trial(0).attempt(2).runner(0).exists)
    assert not requeue(job, 0, asked_to_save=True), "asked by the start that is over"
    finish(sweep)
    assert_as_left_alone(sweep)
    wait_until(lambda: victim.statuses() == ["saved", "done"])  # a little later than the result
    assert victim.attempts()[1].node_log(1).exists()
