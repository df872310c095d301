"""The sbatch script that `--dry-run` shows: what a sweep asks for, in Slurm's words. Nothing is submitted."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from slurm_commands import SILENT, stand_in, write_command

from launcher.executors.base import Surroundings
from launcher.executors.slurm import SlurmExecutor
from launcher.executors.slurm_kept import find_task
from launcher.executors.slurm_refusal import Refusal, SubmissionError
from launcher.expand.executor_config import SlurmConfig
from launcher.slurm.command import only_as_configured
from segda_core.config import TaskConfig
from segda_core.errors import ConfigError
from sweeps import expanded

BASE = {"steps": 5, "batch_size": 4, "method": {"name": "joint"}}
POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.fixture(autouse=True)
def _cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that name no limit stand in for a cluster."""
    stand_in(tmp_path, monkeypatch)


def configs(folder: Path, *overrides: str) -> list[TaskConfig]:
    return [
        trial.config for trial in expanded(folder, *overrides, base=BASE, grid={"seed": [0, 1, 2]}).trials
    ]


def executor(folder: Path, **settings: object) -> SlurmExecutor:
    slurm = SlurmConfig.model_validate({"name": "slurm", **settings})
    return SlurmExecutor(slurm, Surroundings(folder / "runs" / "demo", waits=False))


def script_of(folder: Path, *overrides: str, **settings: object) -> list[str]:
    (script,) = executor(folder, **settings).preview(configs(folder, *overrides))
    return script.splitlines()


def test_it_asks_for_what_the_sweep_says(tmp_path: Path) -> None:
    lines = script_of(
        tmp_path,
        "ranks=4",
        nodes=2,
        gpus_per_node=2,
        cpus_per_gpu=5,
        mem_gb=1.5,
        timeout_min=90,
        partition="gpu,long",
        qos="high",
        account="lab",
        constraint="a100|h100",
        exclude="node[03-05]",
        setup=["module load cuda"],
        max_parallel=2,
        sbatch={"mail-type": "END", "exclusive": True},
    )
    asked = {shlex.split(line)[1].lstrip("-") for line in lines if line.startswith("#SBATCH")}
    assert asked >= {
        *("nodes=2", "ntasks-per-node=1", "gpus-per-node=2", "cpus-per-task=10", "mem=1536M", "time=90"),
        *("partition=gpu,long", "qos=high", "account=lab", "constraint=a100|h100", "exclude=node[03-05]"),
        *("array=0-2%2", "mail-type=END", "exclusive", "requeue", "signal=USR2@90"),
    }
    assert "module load cuda" in lines


@pytest.mark.parametrize(
    ("settings", "shell", "asked"),
    [
        ({}, {}, {"cpus-per-task=1"}),
        ({"partition": "gpu"}, {}, {"gpus-per-node=1", "cpus-per-task=4"}),
        ({"partition": "long,gpu", "cpus_per_gpu": 6}, {}, {"gpus-per-node=1", "cpus-per-task=6"}),
        ({}, {"SBATCH_PARTITION": "gpu"}, {"gpus-per-node=1", "cpus-per-task=4"}),
        ({"partition": "gpu", "gpus_per_node": 0}, {}, {"cpus-per-task=1"}),
        ({"partition": "gpu", "sbatch": {"gres": "gpu:a100:1"}}, {}, {"gres=gpu:a100:1", "cpus-per-task=1"}),
        (
            {"partition": "gpu", "sbatch": {"gres": "lscratch:10"}},
            {},
            {"gres=lscratch:10", "gpus-per-node=1", "cpus-per-task=4"},
        ),
    ],
)
def test_it_asks_for_gpus_where_the_partition_has_some(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    shell: dict[str, str],
    asked: set[str],
) -> None:
    has = "echo 'main*|(null)'; echo 'long|(null)'; echo 'gpu|(null)'; echo 'gpu|gpu:h100:8(S:0-1)'"
    write_command(tmp_path / "bin" / "sinfo", has)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    lines = script_of(tmp_path, "workers=3", **settings)
    options = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH --")]
    assert {line for line in options if line.startswith(("gpus", "gres", "cpus-per-task"))} == asked


def test_where_slurm_does_not_say_the_sweep_has_to(tmp_path: Path) -> None:
    write_command(tmp_path / "bin" / "sinfo", SILENT)
    with pytest.raises(ConfigError, match=r"Unable to contact .*; executor\.gpus_per_node says how many"):
        script_of(tmp_path)
    assert script_of(tmp_path, gpus_per_node=0)


def test_the_shell_chooses_only_what_the_sweep_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOB_NAME", "EXPORT", "TIMELIMIT", "PARTITION", "ACCOUNT"):
        monkeypatch.setenv(f"SBATCH_{name}", "mine")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with only_as_configured(["partition"]):
        left = {name for name in os.environ if name.startswith(("SBATCH_", "SLURM_"))}
    assert left - {"SLURM_CONF"} == {"SBATCH_ACCOUNT"}
    assert os.environ["SBATCH_PARTITION"] == "mine", "afterwards all is as before"


def test_it_exports_the_snapshot_that_a_launch_will_make(tmp_path: Path) -> None:
    exports = [line for line in script_of(tmp_path) if line.startswith("export ")]
    assert any(line.startswith("export PYTHONPATH=/SNAPSHOT/") for line in exports)
    assert "export PYTHONSAFEPATH=1" in exports


@pytest.mark.parametrize(
    ("job", "name", "task"),
    [
        ({"ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "3", "JOB_ID": "11"}, "7_3_submitted.pkl", "task.3.pkl"),
        ({"JOB_ID": "11"}, "11_submitted.pkl", "task.0.pkl"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_job_finds_its_task_where_the_launcher_gave_it_no_name(
    tmp_path: Path, job: dict[str, str], name: str, task: str, named: bool
) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    (folder / task).write_text("kept")
    if named:
        (folder / name).write_text("by the launcher")
    environment = {f"SLURM_{key}": value for key, value in job.items()}
    strict = f"set -euo pipefail\n{find_task(folder)}"  # as a line of `setup` may have it
    subprocess.run(["bash", "-c", strict], env={**os.environ, **environment}, check=True)
    assert (folder / name).read_text() == ("by the launcher" if named else "kept")


@pytest.mark.parametrize(
    ("ranks", "settings", "problem"),
    [
        (4, {"nodes": 2, "gpus_per_node": 2}, None),
        (2, {"nodes": 2, "gpus_per_node": 2}, "ranks 2 on nodes 2 x gpus_per_node 2"),
        (2, {"nodes": 4}, "ranks 2 do not divide among 4 nodes"),
    ],
)
def test_ranks_that_do_not_fit_the_nodes(
    tmp_path: Path, ranks: int, settings: dict[str, int], problem: str | None
) -> None:
    found = executor(tmp_path, **settings).problem(configs(tmp_path, f"ranks={ranks}")[0])
    assert found is None if problem is None else found is not None and found.startswith(problem)


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        (f"QOSMaxSubmitJobPerUserLimit; Batch job submission failed: {POLICY}", Refusal.FULL),
        (f"AssocGrpSubmitJobsLimit; Batch job submission failed: {POLICY}", Refusal.FULL),
        ("Slurm temporarily unable to accept job, sleeping and retrying", Refusal.FULL),
        (f"QOSMaxWallDurationPerJobLimit; Batch job submission failed: {POLICY}", Refusal.WRONG),
        (f"QOSMinGRES; Batch job submission failed: {POLICY}", Refusal.WRONG),
        ("invalid partition specified: nope", Refusal.WRONG),
        ("Unable to contact slurm controller (connect failure)", Refusal.SILENT),
        ("Batch job submission failed: Invalid job array specification", Refusal.BIG),
    ],
)
def test_only_where_waiting_helps_is_a_refusal_tried_again(message: str, refusal: Refusal) -> None:
    assert SubmissionError(message).refusal is refusal
