"""What Slurm does to jobs, to real trials: each ends with the metrics of a run that nothing happened to.

A trial is stopped (SIGSTOP) at a checkpoint until the fault has reached it, so that no test depends on speed.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from private_slurm.cluster import Cluster
from small_sweep import SmallSweep, wait_until

from launcher.process import processes_of
from segda_core.layout import AttemptFiles, TrialFiles, read_json

pytestmark = pytest.mark.processes

STEPS = 30
SEEDS = 3
LONG_S = 150
"""Seconds that the slowest of these may take: Slurm looks at time limits and silent nodes now and then."""


def sweep_of(folder: Path, seeds: int = SEEDS, ranks: int = 1, **settings: object) -> SmallSweep:
    folder.mkdir(exist_ok=True)
    grid = {"method": [{"name": "joint"}], "seed": list(range(seeds))}
    grid |= {"ranks": [ranks], "batch_size": [max(2, ranks)]}
    return SmallSweep(folder, grid, STEPS, **settings)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SmallSweep:
    sweep = sweep_of(tmp_path_factory.mktemp("undisturbed"))
    code, output = sweep.run("sweep", "quick", timeout=LONG_S)
    assert code == 0, output
    return sweep


class Stopped:
    """The first attempt of a trial under Slurm, its workers stopped after the first checkpoint."""

    def __init__(self, cluster: Cluster, files: TrialFiles) -> None:
        self.cluster = cluster
        self.files = files
        self.attempt = files.attempt(1)
        wait_until(lambda: list(self.attempt.checkpoints.glob("*.pt")), timeout=LONG_S)
        self.workers = [pid for pid in processes_of(self.attempt.root) if is_worker(pid)]
        self.send(signal.SIGSTOP)
        assert not self.attempt.outcome.exists() and not self.attempt.saved.exists(), "it ended too early"

    @property
    def job(self) -> str:
        said = read_json(self.attempt.submission)
        lines = self.cluster.check("squeue", "--noheader", "--array", "--format=%i %j %K").splitlines()
        names = {(said["job_name"], str(said["array_index"])), (said["job_name"], "N/A")}
        (found,) = [line.split()[0] for line in lines if tuple(line.split()[1:]) in names]
        return found

    @property
    def node(self) -> str:
        return self.cluster.check("squeue", "--noheader", "--jobs", self.job, "--format=%N").strip()

    def go_on_with(self, signum: signal.Signals) -> None:
        """Let it run when Slurm has sent it a signal, unless Slurm killed it with the next."""
        wait_until(lambda: all(pending(pid, signum) for pid in self.workers), timeout=LONG_S)
        self.send(signal.SIGCONT)

    def send(self, signum: signal.Signals) -> None:
        for pid in self.workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def attempts(self) -> list[AttemptFiles]:
        return [self.files.attempt(number) for number in self.files.attempt_numbers()]

    def statuses(self) -> list[str | None]:
        found = [read_json(attempt.outcome) for attempt in self.attempts()]
        return [outcome and outcome["status"] for outcome in found]


def is_worker(pid: int) -> bool:
    return b"segda_core.train" in Path(f"/proc/{pid}/cmdline").read_bytes() and not is_torchrun(pid)


def is_torchrun(pid: int) -> bool:
    return b"torch.distributed.run" in Path(f"/proc/{pid}/cmdline").read_bytes()


def pending(pid: int, signum: signal.Signals) -> bool:
    """Whether a stopped process has yet to see a signal; or any more, where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return True
    masks = dict(line.split(":\t") for line in lines if line.startswith(("SigPnd", "ShdPnd")))
    return any(int(mask, 16) >> (signum - 1) & 1 for mask in masks.values())


def submit(sweep: SmallSweep) -> None:
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output


def finish(sweep: SmallSweep, undisturbed: SmallSweep) -> None:
    """Wait for the end, as another launcher would, and compare."""
    code, output = sweep.run("sweep", "quick", "--wait", timeout=LONG_S)
    assert code == 0, output
    expected, histories = undisturbed.results(), undisturbed.histories()
    assert sweep.results() == {trial: expected[trial] for trial in sweep.results()}
    assert sweep.histories() == {trial: histories[trial] for trial in sweep.histories()}
    wait_until(lambda: not sweep.processes())  # its result was there before its processes had left


def test_time_limit_requeue_and_scancel(slurm: Cluster, tmp_path: Path, undisturbed: SmallSweep) -> None:
    sweep = sweep_of(tmp_path, name="slurm")
    submit(sweep)
    limited, requeued, cancelled = (Stopped(slurm, files) for files in sweep.trials())
    slurm.check("scontrol", "requeue", requeued.job)
    slurm.check("scontrol", "update", f"JobId={limited.job}", "TimeLimit=1")
    slurm.check("scancel", cancelled.job)
    cancelled.go_on_with(signal.SIGTERM)
    limited.go_on_with(signal.SIGUSR2)
    wait_until(limited.attempt.outcome.exists)
    wait_until(
        lambda: "(BeginTime)" in slurm.check("squeue", "--noheader", "--jobs", limited.job, "--format=(%r)")
    )
    slurm.check("scontrol", "update", f"JobId={limited.job}", "TimeLimit=240")
    wait_until(cancelled.attempt.outcome.exists)
    assert "its job was cancelled outside segda" in sweep.run("status", "quick")[1]
    finish(sweep, undisturbed)
    assert limited.statuses() == ["saved", "done"]
    assert requeued.statuses() == [None, "done"], "it was killed while it stood still"
    assert cancelled.statuses() == ["saved", "done"]
    for trial, job_made_it in ((limited, True), (requeued, True), (cancelled, False)):
        second = read_json(trial.attempts()[1].submission)
        assert second.get("restart_count", 0) == job_made_it
        assert (second["job_name"] == read_json(trial.attempt.submission)["job_name"]) is job_made_it


def test_preemption_with_and_without_grace(slurm: Cluster, tmp_path: Path, undisturbed: SmallSweep) -> None:
    sweeps = [sweep_of(tmp_path / name, 1, name="slurm", partition=name) for name in ("low", "abrupt")]
    for sweep in sweeps:
        submit(sweep)
    graceful, abrupt = (Stopped(slurm, sweep.trials()[0]) for sweep in sweeps)
    high = ("--exclusive", "--nodes=3", "--partition=high", "--output=/dev/null", "--wrap", "exec sleep 600")
    preemptor = slurm.check("sbatch", "--parsable", *high).strip()
    abrupt.go_on_with(signal.SIGTERM)
    graceful.go_on_with(signal.SIGUSR2)
    for trial in (graceful, abrupt):
        wait_until(lambda trial=trial: is_queued_again(slurm, trial), timeout=LONG_S)
    for sweep in sweeps:
        assert "queued" in sweep.run("status", "quick")[1]
    slurm.check("scancel", preemptor)
    for sweep in sweeps:
        finish(sweep, undisturbed)
    assert graceful.statuses() == ["saved", "done"]
    assert abrupt.statuses() in (["saved", "done"], [None, "done"]), "it may have had no time to save"


def is_queued_again(cluster: Cluster, trial: Stopped) -> bool:
    return cluster.check("squeue", "--noheader", "--jobs", trial.job, "--format=%T").strip() == "PENDING"


def test_lost_nodes_and_what_goes_on_there_unseen(
    slurm: Cluster, tmp_path: Path, undisturbed: SmallSweep
) -> None:
    """One node loses power; the other only its daemon, and its processes wake up when all is over."""
    sweep = sweep_of(tmp_path, 2, name="slurm", sbatch={"exclusive": True})
    submit(sweep)
    dark, zombie = (Stopped(slurm, files) for files in sweep.trials())
    left = processes_of(zombie.attempt.root)
    for pid in left:
        os.kill(pid, signal.SIGSTOP)
    nodes = [trial.node for trial in (dark, zombie)]
    slurm.kill_node(nodes[0], with_jobs=True)
    slurm.kill_node(nodes[1])
    before = contents(zombie.attempt)
    code, output = sweep.run("sweep", "quick", "--wait", timeout=LONG_S)
    assert code == 0, output
    assert {pid for pid in left if Path(f"/proc/{pid}").exists()} == set(left), "nobody reached them"
    for pid in left:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not processes_of(zombie.attempt.root), timeout=90)
    changed = {name for name, content in contents(zombie.attempt).items() if before.get(name) != content}
    assert changed <= {"log.txt", "superseded.json", "outcome.json", "runner.0.json"} | events(changed)
    assert zombie.statuses() == ["superseded", "done"]
    assert dark.statuses() == [None, "done"]
    finish(sweep, undisturbed)


def contents(attempt: AttemptFiles) -> dict[str, bytes]:
    files = [path for path in attempt.root.rglob("*") if path.is_file()]
    return {str(path.relative_to(attempt.root)): path.read_bytes() for path in files}


def events(names: set[str]) -> set[str]:
    """Files that only ever grow, with rows that a trial's history leaves out."""
    return {name for name in names if name.startswith("tensorboard/") or name == "history.jsonl"}


def test_a_controller_that_comes_back_finds_its_jobs(
    slurm: Cluster, tmp_path: Path, undisturbed: SmallSweep
) -> None:
    sweep = sweep_of(tmp_path, 1, name="slurm")
    waiting = sweep.start("sweep", "quick", "--wait")
    wait_until(sweep.trials)
    trial = Stopped(slurm, sweep.trials()[0])
    slurm.stop_controller()
    status = sweep.run("status", "quick")[1]
    assert "unknown since" in status and "1 running" in status, "its heartbeat says that it runs"
    trial.send(signal.SIGCONT)
    wait_until(trial.attempt.outcome.exists)
    slurm.start_controller()
    code, output = sweep.finish(waiting, timeout=LONG_S)
    assert code == 0, output
    finish(sweep, undisturbed)
    assert trial.statuses() == ["done"]


def test_two_nodes_with_two_ranks_equal_one_with_four(slurm: Cluster, tmp_path: Path) -> None:
    """Asked to save, as before a time limit, on the way: both nodes meet again in the next attempt."""
    sweep = sweep_of(tmp_path / "two nodes", 1, ranks=4, name="slurm", nodes=2)
    submit(sweep)
    trial = Stopped(slurm, sweep.trials()[0])
    assert len(trial.workers) == 4
    assert sorted(path.name for path in trial.attempt.root.glob("runner.*")) == [
        "runner.0.json",
        "runner.1.json",
    ]
    slurm.check("scancel", "--signal=USR2", trial.job)
    trial.go_on_with(signal.SIGUSR2)
    local = sweep_of(tmp_path / "one", 1, ranks=4, max_parallel=1)
    code, output = local.run("sweep", "quick", timeout=LONG_S)
    assert code == 0, output
    finish(sweep, local)
    assert trial.statuses() == ["saved", "done"]
    assert (trial.attempt.root / "log.1.txt").exists()
