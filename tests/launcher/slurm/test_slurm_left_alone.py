"""Jobs need neither the checkout they were launched from nor a launcher that lives to hear their id."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkouts import break_code, git
from private_slurm.cluster import Cluster
from small_sweep import SmallSweep, wait_until

from launcher.commands.sweep import INTERRUPTED
from segda_core.files import read_json

pytestmark = pytest.mark.processes

WITHOUT_GPU = ["unset SLURM_GPUS_PER_NODE", "export SLURM_STEP_GRES=none"]
"""Lines for a job that gets a fake GPU: the step that trains is given none, for no torch can use it."""


def sweep_of(folder: Path, seeds: int, **settings: object) -> SmallSweep:
    grid = {"method": [{"name": "source_only"}], "seed": list(range(seeds))}
    return SmallSweep(folder, grid, steps=2, name="slurm", **settings)


@contextmanager
def instead_of_sbatch(
    folder: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, body: str
) -> Iterator[None]:
    """Have a launch start a script of ours, to which Slurm's own is $SBATCH."""
    commands = folder / "bin"
    commands.mkdir()
    script = commands / "sbatch"
    script.write_text(f'#!/bin/bash\nSBATCH="{shutil.which("sbatch")}"\n{body}\n')  # dash unblocks signals
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{commands}:{cluster.environment['PATH']}")
        yield


def test_a_job_that_waits_runs_the_code_it_was_launched_with(
    slurm: Cluster, own_checkout: Path, tmp_path: Path
) -> None:
    """The checkout breaks while the job is in the queue, also what the job starts with.

    It gets a (fake) GPU, since there are some, the cores it asked for, and the line that prepares it.
    """
    gpus = {"gpus_per_node": None, "cpus_per_gpu": 2} if slurm.place.gpus else {}
    seen = tmp_path / "seen"
    setup = [f"echo $CUDA_VISIBLE_DEVICES $SLURM_CPUS_ON_NODE > {seen}", *WITHOUT_GPU]
    sweep = sweep_of(tmp_path / "work", 1, sbatch={"hold": True}, setup=setup, **gpus)
    code, output = sweep.run("sweep", "quick")
    assert code == 0, output
    commit = git(own_checkout, "rev-parse", "HEAD")
    (own_checkout / "launcher" / "executors" / "slurm_task.py").write_text("")
    break_code(own_checkout)
    slurm.check("scontrol", "release", slurm.check("squeue", "--noheader", "--format=%A").strip())
    (attempt,) = sweep.attempts()
    wait_until(lambda: not slurm.check("squeue", "--noheader").strip())
    assert sweep.outcomes() == ["done"]
    assert seen.read_text().split() == (["0", "2"] if gpus else ["1"])
    ran_on = read_json(attempt.environment)
    (snapshot,) = (sweep.folder / "runs" / ".code").iterdir()
    assert (ran_on["commit"], ran_on["snapshot"]) == (commit, snapshot.name)


def test_a_gpu_that_torch_cannot_use_fails_the_trial(slurm: Cluster, tmp_path: Path) -> None:
    """The cluster's are fake."""
    if not slurm.place.gpus or shutil.which("nvidia-smi"):
        pytest.skip("no GPU, or perhaps a real one")
    sweep = sweep_of(tmp_path / "work", 1, gpus_per_node=1)
    code, output = sweep.run("sweep", "quick", "--wait")
    assert (code, sweep.outcomes()) == (1, ["failed config"]), output


def test_ctrl_c_during_sbatch_neither_breaks_it_off_nor_forgets_its_jobs(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends the signal to every process of the launch; Slurm may have the jobs by then."""
    sweep = sweep_of(tmp_path / "work", 2, sbatch={"hold": True})
    interrupt = "kill -INT -$PPID\nsleep 0.2"
    with instead_of_sbatch(tmp_path, slurm, monkeypatch, f'{interrupt}\nexec "$SBATCH" "$@"'):
        code, output = sweep.run("sweep", "quick")
        assert code == INTERRUPTED, output
    assert len(slurm.check("squeue", "--noheader", "--array").splitlines()) == 2
    code, output = sweep.run("sweep", "quick")
    assert code == 0 and "0 to run" in output, output


def test_jobs_of_a_launcher_that_was_killed_before_it_knew_their_id_run_once(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of(tmp_path / "it's here", 2)
    with instead_of_sbatch(tmp_path, slurm, monkeypatch, '"$SBATCH" "$@"\nkill -9 $PPID'):
        assert sweep.run("sweep", "quick")[0] == -signal.SIGKILL
    assert len(slurm.check("squeue", "--noheader", "--array").splitlines()) == 2
    code, output = sweep.run("sweep", "quick", "--wait")
    assert code == 0, output
    wait_until(lambda: not slurm.check("squeue", "--noheader").strip())
    assert sweep.outcomes() == ["done", "done"]


@pytest.mark.parametrize("elsewhere", [True, False], ids=["there is another node", "there is none"])
def test_a_node_where_nothing_begins_does_not_take_every_retry(
    slurm: Cluster, tmp_path: Path, elsewhere: bool
) -> None:
    """It is idle at once, so that Slurm would choose it again."""
    ran = tmp_path / "ran"
    again = f"grep -qx $SLURMD_NODENAME {ran}" if elsewhere else "false"
    setup = [
        f"test -s {ran} && ! {again} || bad=1",
        f"echo $SLURMD_NODENAME >> {ran}",
        "test -z $bad || exit 1",
    ]
    exclude = {} if elsewhere else {"exclude": ",".join(slurm.nodes[1:])}
    sweep = sweep_of(tmp_path / "work", 1, setup=setup, retry=1, **exclude)
    code, output = sweep.run("sweep", "quick", "--wait")
    assert code == 0, output
    first, second = ran.read_text().split()
    assert (first != second) is elsewhere
    assert f"(killed: its job ended without a word (FAILED) (on {first})" in output
