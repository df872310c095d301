"""What is said of trials in Slurm's queue, without training any to its end: their jobs are held or ended."""

import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from private_slurm.cluster import Cluster
from slurm_cluster import named, running_cluster, slurm_cluster
from small_sweep import SmallSweep, wait_until

from launcher.cli import WATCH_S
from launcher.status import LEFT_ALONE
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles

pytestmark = pytest.mark.processes

ONE = {"method": [{"name": "source_only"}]}


def queued(folder: Path, seeds: int = 1, steps: int = 2, **settings: object) -> SmallSweep:
    return SmallSweep(folder, {**ONE, "seed": list(range(seeds))}, steps, name="slurm", **settings)


def held(folder: Path, seeds: int = 1, **settings: object) -> SmallSweep:
    """A sweep whose jobs wait until somebody releases them."""
    return queued(folder, seeds, sbatch={"hold": True}, **settings)


def submit(sweep: SmallSweep, *words: str) -> None:
    code, output = sweep.run("sweep", "quick", *words)
    assert code == 0, output


def statuses(sweep: SmallSweep) -> list[dict]:
    code, output = sweep.run("status", "quick", "--json")
    assert code == 0, output
    return json.loads(output)["quick"]


def states(sweep: SmallSweep) -> list[tuple[str, str]]:
    return [(status["state"], status["message"]) for status in statuses(sweep)]


def queue(cluster: Cluster) -> list[list[str]]:
    """Name, array index and state of each job that is not over."""
    lines = cluster.check("squeue", "--noheader", "--array", "--format=%j %K %T").splitlines()
    return [line.split() for line in lines]


def throttles(cluster: Cluster) -> list[str]:
    """How many tasks of each array in the queue may run at once."""
    lines = cluster.check("squeue", "--noheader", "--format=%i").split()
    return sorted(line.partition("%")[2].rstrip("]") for line in lines)


def cancel_outside(cluster: Cluster) -> None:
    cluster.check("scancel", "--user", cluster.place.user)


def grow_old(attempt: AttemptFiles) -> None:
    """As if nothing of the attempt had been touched for minutes."""
    then = time.time() - 300
    os.utime(attempt.root, (then, then))


def test_submitted_jobs_need_no_launcher_and_say_why_they_wait(slurm: Cluster, tmp_path: Path) -> None:
    sweep = held(tmp_path, seeds=3)
    code, output = sweep.run("sweep", "quick", "--dry-run")
    assert code == 0 and "#SBATCH --array=0-2" in output and "#SBATCH --hold" in output and queue(slurm) == []
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "3 queued" in output and output.rstrip().endswith("`segda cancel quick` ends them")
    assert states(sweep) == [("queued", "Slurm: JobHeldUser")] * 3
    (name,) = {job[0] for job in queue(slurm)}
    submissions = [read_json(attempt.submission) for attempt in sweep.attempts()]
    assert [(said["job_name"], said["array_index"]) for said in submissions] == [(name, i) for i in range(3)]
    assert {said["launch_id"] for said in submissions} == {name.split("-")[1]}
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "0 to run" in output and len(queue(slurm)) == 3, "submitted a second time"
    assert "JobHeldUser" in sweep.run("status", "quick")[1]


def test_trials_that_ask_for_the_same_share_an_array(slurm: Cluster, tmp_path: Path) -> None:
    grid = {**ONE, "seed": [0, 1, 2], "ranks": [1, 2], "batch_size": [2]}
    submit(SmallSweep(tmp_path, grid, 2, name="slurm", sbatch={"hold": True}))
    asked = [
        line.split() for line in slurm.check("squeue", "--noheader", "--array", "--format=%j %C").splitlines()
    ]
    shapes = {name: [cpus for other, cpus in asked if other == name] for name, _ in asked}
    assert sorted(shapes.values()) == [["1"] * 3, ["2"] * 3]


def test_cancel_takes_pending_jobs_out_of_the_queue(slurm: Cluster, tmp_path: Path) -> None:
    sweep = held(tmp_path, seeds=2)
    submit(sweep)
    watching = sweep.start("status", "quick", "--watch")
    assert sweep.run("cancel", "quick", "seed=1")[1].endswith("1 trial cancelled\n")
    wait_until(lambda: len(queue(slurm)) == 1)
    assert [state for state, _ in states(sweep)] == ["queued", "cancelled"]
    submit(sweep)
    assert len(queue(slurm)) == 1, "a cancelled trial was submitted"
    time.sleep(2 * WATCH_S)  # and it has started meanwhile, as these commands have
    watching.send_signal(signal.SIGINT)
    assert "1 queued, 1 cancelled" in sweep.finish(watching)[1]
    submit(sweep, "--retry", "cancelled")
    assert len(queue(slurm)) == 2


def test_a_job_cancelled_outside_is_left_by_its_launch_and_taken_up_by_the_next(
    slurm: Cluster, tmp_path: Path
) -> None:
    sweep = held(tmp_path, seeds=3)
    waiting = sweep.start("sweep", "quick", "--wait")
    wait_until(lambda: len(queue(slurm)) == 3)
    one = slurm.check("squeue", "--noheader", "--array", "--format=%i").split()[0]
    slurm.check("scancel", one)
    wait_until(lambda: [state for state, _ in states(sweep)].count("missing") == 1)
    cancel_outside(slurm)
    code, output = sweep.finish(waiting)
    assert code == 1 and sum(output.count(why) for why in LEFT_ALONE.values()) == 3
    assert all(state == "missing" and why in LEFT_ALONE.values() for state, why in states(sweep))
    submit(sweep)
    assert [attempt.number for attempt in sweep.attempts()] == [1, 2] * 3


def test_ctrl_c_leaves_the_jobs(slurm: Cluster, tmp_path: Path) -> None:
    sweep = held(tmp_path, seeds=2)
    waiting = sweep.start("sweep", "quick", "--wait")
    wait_until(lambda: len(queue(slurm)) == 2)
    waiting.send_signal(signal.SIGINT)
    code, output = sweep.finish(waiting)
    assert code == 130 and "`segda cancel quick` ends them" in output
    assert [state for state, _ in states(sweep)] == ["queued", "queued"]


def test_a_refused_submission_says_why_and_blocks_nothing(slurm: Cluster, tmp_path: Path) -> None:
    sweep = held(tmp_path, partition="nowhere")
    for number in (1, 2):
        code, output = sweep.run("sweep", "quick")
        assert code == 1 and "invalid partition specified: nowhere" in output
        assert [attempt.number for attempt in sweep.attempts()][-1] == number
    ((state, message),) = states(sweep)
    assert state == "missing" and "nowhere" in message
    assert not list(tmp_path.rglob("*.pkl")), "files of jobs that do not exist"
    submit(sweep, "--set", "executor.partition=main")
    assert [state for state, _ in states(sweep)] == ["queued"]


def test_a_silent_controller_is_said_and_hangs_nobody(slurm: Cluster, tmp_path: Path) -> None:
    sweep = held(tmp_path)
    submit(sweep)
    slurm.stop_controller()
    started = time.monotonic()
    ((state, message),) = states(sweep)
    assert state == "queued" and message.startswith("unknown since ")
    assert time.monotonic() - started < 40
    slurm.start_controller()
    assert states(sweep) == [("queued", "Slurm: JobHeldUser")]


def test_arrays_are_cut_and_divided_by_what_a_cluster_takes(tmp_path: Path) -> None:
    with slurm_cluster(tmp_path / "slurm", nodes=1, max_array_size=4) as cluster:
        sweep = held(tmp_path / "sweep", seeds=10, max_parallel=5)
        submit(sweep)
        names = [job[0] for job in queue(cluster)]
        assert sorted(names.count(name) for name in set(names)) == [2, 4, 4]
        assert [state for state, _ in states(sweep)] == ["queued"] * 10
        assert throttles(cluster) == ["1", "2", "2"]
        cancel_outside(cluster)
        submit(sweep, "--max-parallel", "2")
        assert throttles(cluster) == ["1", "1", "1"]
        awaited = cluster.check("squeue", "--noheader", "--format=%E").split()
        assert sum(each.startswith("afterany:") for each in awaited) == 1, "two arrays run, the third follows"


def test_what_the_controller_has_forgotten(tmp_path: Path) -> None:
    """Accounting or jobcomp know of cancelled jobs, of one that ran and two that waited.

    Without them those vanished, all but the word of the one that ran. Either way they are submitted again.
    """
    with ExitStack() as running:
        clusters = {
            accounting: running.enter_context(
                running_cluster(
                    tmp_path / accounting, nodes=1, accounting=accounting, min_job_age=2, kill_wait=60
                )
            )
            for accounting in ("none", "jobcomp", "dbd")
        }
        sweeps = {}
        for accounting, cluster in clusters.items():
            sweeps[accounting] = queued(
                tmp_path / f"sweep {accounting}", seeds=3, steps=100_000, sbatch={"exclusive": True}
            )
            with named(cluster):
                submit(sweeps[accounting])
        for accounting, cluster in clusters.items():
            cancel_all(sweeps[accounting], cluster)
        for accounting, cluster in clusters.items():
            with named(cluster):
                look_when_forgotten(sweeps[accounting], cluster, remembered=accounting != "none")


def cancel_all(sweep: SmallSweep, cluster: Cluster) -> None:
    """The first runs, on the only node, and can answer."""
    wait_until(sweep.trial(0).attempt(1).heartbeat.exists)
    if cluster.options.accounting == "dbd":  # the controller tells it of waiting jobs every five seconds
        wait_until(lambda: cluster.check("sacct", "-X", "--noheader", "--format=State").count("PENDING") == 1)
    cancel_outside(cluster)


def look_when_forgotten(sweep: SmallSweep, cluster: Cluster, remembered: bool) -> None:
    wait_until(lambda: "segda" not in cluster.check("squeue", "--states=all", "--format=%j"))
    for attempt in sweep.attempts():
        grow_old(attempt)
    outcome = read_json(sweep.trial(0).attempt(1).outcome)
    assert outcome["status"] == "saved"
    if remembered:
        expected = [("missing", "its job was cancelled outside segda (scancel)")] * 3
    else:
        forgotten = ("failed", "its job ended without a word (Slurm forgot it)")
        expected = [("missing", outcome["message"]), forgotten, forgotten]
    assert states(sweep) == expected
    submit(sweep, "--set=executor.sbatch={hold: true}")
    assert [attempt.number for attempt in sweep.attempts()] == [1, 2] * 3
    assert len(queue(cluster)) == 3


def test_two_hundred_trials_are_submitted_in_seconds(slurm: Cluster, tmp_path: Path) -> None:
    sweep = held(tmp_path, seeds=200)
    started = time.monotonic()
    submit(sweep)
    took = time.monotonic() - started
    assert len(queue(slurm)) == 200
    assert took < 60, "far more than the 4 s it takes alone on a machine, so that a busy one does not matter"
