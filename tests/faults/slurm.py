"""What Slurm, and who runs it, do to jobs. Each fault is made by `strike`; `carry_on` is what follows it."""

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from private_slurm.cluster import Cluster
from small_sweep import wait_until

from faults.victim import Victim
from launcher.processes.process import send
from segda_core.files import read_json
from segda_core.trials.layout import AttemptFiles


class Fault(Protocol):
    def strike(self) -> None:
        """Make it."""

    def carry_on(self) -> None:
        """Wait until Slurm has answered, and do what a user or an administrator does then."""


def job_of(cluster: Cluster, attempt: AttemptFiles) -> str:
    """Id of an attempt's job, which is in the queue."""
    said = read_json(attempt.submission)
    lines = cluster.check("squeue", "--noheader", "--array", "--format=%i %j %K").splitlines()
    names = {(said["job_name"], str(said["array_index"])), (said["job_name"], "N/A")}
    (found,) = [line.split()[0] for line in lines if tuple(line.split()[1:]) in names]
    return found


def node_of(cluster: Cluster, job: str) -> str:
    return cluster.check("squeue", "--noheader", "--jobs", job, "--format=%N").strip()


def waits_again(cluster: Cluster, job: str) -> bool:
    """Whether a job is in the queue and does not run."""
    return cluster.ask("squeue", "--noheader", "--jobs", job, "--format=%T").stdout.strip() == "PENDING"


@dataclass
class TimeLimit:
    """The limit is near; later jobs get a longer one."""

    cluster: Cluster
    victim: Victim

    def strike(self) -> None:
        """Between one and two minutes from now: Slurm, which looks every half minute, signals two before."""
        self.job = job_of(self.cluster, self.victim.attempt)
        ran_s = time.time() - read_json(self.victim.attempt.runner(0))["time"]
        self._set_limit(int(ran_s / 60) + 2)

    def carry_on(self) -> None:
        self.victim.go_on_when_asked()
        wait_until(lambda: waits_again(self.cluster, self.job) or self.victim.files.metrics.exists())
        self._set_limit(240)

    def _set_limit(self, minutes: int) -> None:
        self.cluster.ask("scontrol", "update", f"JobId={self.job}", f"TimeLimit={minutes}")


@dataclass
class Requeue:
    """`scontrol requeue`: it ends at once."""

    cluster: Cluster
    victim: Victim

    def strike(self) -> None:
        self.cluster.check("scontrol", "requeue", job_of(self.cluster, self.victim.attempt))

    def carry_on(self) -> None:
        self.victim.go_on_when_asked()


@dataclass
class Cancelled:
    """`scancel`, by somebody who does not know segda."""

    cluster: Cluster
    victim: Victim

    def strike(self) -> None:
        self.job = job_of(self.cluster, self.victim.attempt)
        self.cluster.check("scancel", self.job)

    def carry_on(self) -> None:
        self.victim.go_on_when_asked()
        wait_until(lambda: not self.cluster.ask("squeue", "--noheader", "--jobs", self.job).stdout.strip())


@dataclass
class Preemption:
    """A more important job wants most of a node's memory, and ends a while later."""

    cluster: Cluster
    victims: list[Victim]
    megabytes: int

    def strike(self) -> None:
        self.jobs = [job_of(self.cluster, victim.attempt) for victim in self.victims]
        (node,) = {node_of(self.cluster, job) for job in self.jobs}
        wanted = ("--partition=high", f"--nodelist={node}", f"--mem={self.megabytes}", "--output=/dev/null")
        self.preemptor = self.cluster.check(
            "sbatch", "--parsable", *wanted, "--wrap", "exec sleep 600"
        ).strip()

    def carry_on(self) -> None:
        for victim in self.victims:
            victim.go_on_when_asked()
        for job, victim in zip(self.jobs, self.victims, strict=True):
            wait_until(
                lambda job=job, files=victim.files: waits_again(self.cluster, job) or files.metrics.exists()
            )

    def end(self) -> None:
        """Of the more important job."""
        self.cluster.check("scancel", self.preemptor)


@dataclass
class PowerFailure:
    """A node is lost with everything on it, and comes back when Slurm has noticed."""

    cluster: Cluster
    victim: Victim

    def strike(self) -> None:
        self.node = node_of(self.cluster, job_of(self.cluster, self.victim.attempt))
        self.cluster.kill_node(self.node, with_jobs=True)

    def carry_on(self) -> None:
        wait_until(lambda: is_down(self.cluster, self.node))
        self.cluster.start_node(self.node)


@dataclass
class DaemonLoss:
    """A node's daemon dies: Slurm gives the job to another node, while its processes live on unseen."""

    cluster: Cluster
    victim: Victim
    zombies: list[int] = field(default_factory=list)

    def strike(self) -> None:
        self.node = node_of(self.cluster, job_of(self.cluster, self.victim.attempt))
        self.zombies = self.victim.processes()
        send(self.zombies, signal.SIGSTOP)
        self.cluster.kill_node(self.node)

    def carry_on(self) -> None:
        wait_until(lambda: is_down(self.cluster, self.node))

    def wake(self) -> None:
        """Let the processes go on, all of which must still be there, and wait until they have left."""
        gone = [pid for pid in self.zombies if not Path(f"/proc/{pid}").exists()]
        assert self.zombies and not gone, f"somebody reached {gone}"
        send(self.zombies, signal.SIGCONT)
        wait_until(lambda: not self.victim.processes())


@dataclass
class ControllerRestart:
    """The controller is away for a while, and comes back with the state that it saved."""

    cluster: Cluster

    def strike(self) -> None:
        self.cluster.stop_controller()

    def carry_on(self) -> None:
        self.cluster.start_controller()


def is_down(cluster: Cluster, node: str) -> bool:
    state = cluster.check("sinfo", "--noheader", "--nodes", node, "--format=%T", "--partition=main")
    return state.startswith("down")
