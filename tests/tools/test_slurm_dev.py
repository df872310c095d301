"""The private Slurm itself: it comes up anywhere, breaks on demand, and leaves nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_slurm.cluster import Cluster
from private_slurm.processes import SlurmDevError, poll, with_environment
from private_slurm.up import up
from slurm_cluster import needs_slurm, slurm_cluster

pytestmark = pytest.mark.processes

TOOLS = Path(__file__).parents[2] / "tools"


def slurm_dev(*words: object, **how: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, TOOLS / "slurm_dev.py", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **how)


def state_of(cluster: Cluster, job: str) -> str:
    return cluster.ask("squeue", "--noheader", "--states=all", "--jobs", job, "--format", "%T").stdout.strip()


def sleeper(cluster: Cluster, *options: str) -> str:
    """Id of a job whose process runs, which is a little later than Slurm calls it running."""
    batch = ["sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", "exec sleep 600"]
    job = cluster.check(*batch).strip()
    assert poll(lambda: with_environment([f"SLURM_JOB_ID={job}"]), 30), state_of(cluster, job)
    return job


def test_a_cluster_from_the_command_line_comes_up_works_and_leaves_no_process(tmp_path: Path) -> None:
    needs_slurm()
    root = tmp_path / 'it\'s "my" cluster; # $HOME %n'
    came_up = slurm_dev("up", root, "--nodes", 2, "--kill-wait", 1, "--conf", "MaxJobCount=77")
    assert came_up.returncode == 0, came_up.stderr
    cluster = Cluster.load(root)
    try:
        told = subprocess.run(
            ["sh", "-c", f'{came_up.stdout}echo "$SLURM_CONF"'], capture_output=True, text=True
        )
        assert told.stdout.strip() == str(cluster.conf) == slurm_dev("conf", root).stdout.strip()
        assert cluster.check("srun", "--nodes=2", "hostname").split() == [cluster.place.host] * 2
        assert "MaxJobCount             = 77" in cluster.check("scontrol", "show", "config")
        sleeper(cluster)
        assert slurm_dev("up", root).returncode == 1, "one that runs is not overwritten"
    finally:
        went_down = slurm_dev("down", root)
    assert went_down.returncode == 0, went_down.stderr
    assert with_environment([f"SLURM_CONF={cluster.conf}"]) == []
    assert not cluster.place.base.exists()
    assert slurm_dev("conf", root).returncode == 1


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    needs_slurm()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SlurmDevError, match="not empty"):
        up(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Below /tmp, since pytest's folders are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="segda-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_an_ordinary_user_has_one_too(public_folder: Path) -> None:
    needs_slurm()
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    if os.getuid() != 0 or python is None:
        pytest.skip("needs root, to become nobody, and a Python that nobody may run")
    shutil.copytree(TOOLS, public_folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    root = public_folder / "a cluster"

    def as_nobody(*words: str) -> str:
        done = subprocess.run(
            words, user="nobody", group="nogroup", extra_groups=[], cwd="/", text=True, capture_output=True,
            env={"PATH": "/usr/bin:/bin", "SLURM_CONF": str(root / "etc" / "slurm.conf")}, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    tool = [python, "-B", str(public_folder / "tools" / "slurm_dev.py")]
    as_nobody(*tool, "up", str(root), "--nodes", "1")
    try:
        assert as_nobody("srun", "id", "--user", "--name").strip() == "nobody"
    finally:
        as_nobody(*tool, "down", str(root))
    assert with_environment([f"SLURM_CONF={root}/etc/slurm.conf"]) == []


def test_two_at_once_and_what_becomes_of_jobs_is_told_by_jobcomp(slurm: Cluster, tmp_path: Path) -> None:
    with slurm_cluster(tmp_path / "other", nodes=1, accounting="jobcomp", max_array_size=7) as other:
        assert os.environ["SLURM_CONF"] == str(other.conf)
        assert not set(other.place.ports.values()) & set(slurm.place.ports.values())
        assert "MaxArraySize            = 7" in other.check("scontrol", "show", "config")
        other.check("srun", "--job-name=told", "true")
        told = other.root / "log" / "jobcomp.txt"
        assert poll(lambda: "Name=told JobState=COMPLETED" in told.read_text(), 20)
        assert not slurm.check("squeue", "--noheader").strip()


def test_slurmdbd_keeps_books(tmp_path: Path) -> None:
    with slurm_cluster(tmp_path / "with books", nodes=1, accounting="dbd") as cluster:
        cluster.check("srun", "--job-name=booked", "true")
        books = ["sacct", "--allusers", "--noheader", "--allocations", "--format=JobName,State"]
        assert poll(lambda: "booked  COMPLETED" in cluster.check(*books), 30, every=0.5), cluster.check(
            *books
        )


def test_fake_gpus_are_given_out(slurm: Cluster) -> None:
    show = ["bash", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    assert slurm.check("srun", "--nodes=2", "--gpus-per-node=2", *show).split() == ["0,1", "0,1"]


def test_jobs_outlive_the_daemons(slurm: Cluster) -> None:
    """The controller is stopped, not killed: killed, it forgets jobs younger than its last save."""
    job = sleeper(slurm, "--nodelist", slurm.nodes[0])
    slurm.kill_node(slurm.nodes[0])
    slurm.stop_controller()
    assert with_environment([f"SLURM_JOB_ID={job}"])
    slurm.start_controller()
    slurm.start_node(slurm.nodes[0])
    assert state_of(slurm, job) == "RUNNING"


def test_a_node_that_loses_power_takes_its_jobs_along(slurm: Cluster) -> None:
    job = sleeper(slurm)
    node = slurm.check("squeue", "--noheader", "--jobs", job, "--format", "%N").strip()
    slurm.kill_node(node, with_jobs=True)
    assert not with_environment([f"SLURM_JOB_ID={job}"])
    slurm.start_node(node)


def test_a_job_in_low_is_signalled_and_has_time_left(slurm: Cluster, tmp_path: Path) -> None:
    low = preempted(slurm, "low", tmp_path)
    assert poll((tmp_path / "signalled").exists, 20)
    assert state_of(slurm, low) == "RUNNING"


def test_a_job_in_abrupt_is_requeued_at_once(slurm: Cluster, tmp_path: Path) -> None:
    low = preempted(slurm, "abrupt", tmp_path)
    assert poll(lambda: state_of(slurm, low) in ("PENDING", "COMPLETING"), 20)


def preempted(cluster: Cluster, partition: str, folder: Path) -> str:
    """Id of a job that runs on every node while one of a higher partition is queued."""
    script = f"trap 'touch {folder}/signalled' USR2; touch {folder}/ready; while :; do sleep 0.1; done"
    batch = ["sbatch", "--parsable", "--output=/dev/null", "--requeue", "--signal=B:USR2@1", "--exclusive"]
    low = cluster.check(*batch, f"--partition={partition}", "--nodes=3", "--wrap", script).strip()
    assert poll((folder / "ready").exists, 30)
    cluster.check("sbatch", "--output=/dev/null", "--partition=high", "--wrap", "exec sleep 600")
    return low
