"""Seven faults of Slurm made at the same time to trials of four sweeps, since most of theirs is waiting."""

from collections.abc import Mapping
from pathlib import Path

from private_slurm.cluster import Cluster
from small_sweep import SmallSweep

from faults.slurm import Cancelled, DaemonLoss, Fault, PowerFailure, Preemption, Requeue, TimeLimit
from faults.victim import Victim

LIMITED, REQUEUED, CANCELLED = ARRAY = ("time limit", "scontrol requeue", "scancel")
"""Each happens to one task of an array: to the trials with seeds 0, 1 and 2 of a sweep."""
DARK, ZOMBIE = LOST = ("node lost with its processes", "daemon of the node lost")
GRACEFUL, ABRUPT = PREEMPTED = ("preemption with grace", "preemption without grace")
GROUPS = (ARRAY, LOST, (GRACEFUL,), (ABRUPT,))
NAMES = (*ARRAY, *LOST, *PREEMPTED)

SINGLE = {
    LIMITED: TimeLimit,
    REQUEUED: Requeue,
    CANCELLED: Cancelled,
    DARK: PowerFailure,
    ZOMBIE: DaemonLoss,
}
"""Faults that have one victim."""

PREEMPTED_GB, PREEMPTOR_MB = 3.4, 7500
"""Memory of each job that is preempted and of the one that needs the place of both, of a node's 8000 MB."""


def sweep_of(folder: Path, seeds: int, ranks: int = 1, steps: int = 90, **settings: object) -> SmallSweep:
    """A sweep of one small trial for each seed."""
    folder.mkdir(exist_ok=True)
    grid = {"method": [{"name": "joint"}], "seed": list(range(seeds))}
    grid |= {"ranks": [ranks], "batch_size": [max(2, ranks)]}
    return SmallSweep(folder, grid, steps, **settings)


def submit(sweep: SmallSweep, *words: str) -> None:
    code, output = sweep.run("sweep", "quick", *words)
    assert code == 0, output


def submit_together(
    folder: Path, cluster: Cluster, steps: int = 90
) -> tuple[list[SmallSweep], dict[str, Victim]]:
    """The sweeps, and who is to meet which fault.

    Those that lose their nodes have one each; the others share the first, and the preempted fill it.
    """
    first = cluster.nodes[0]
    there = {"sbatch": {"nodelist": first}}
    settings = [
        there,
        {"sbatch": {"exclusive": True}, "exclude": first},
        {**there, "partition": "low", "mem_gb": PREEMPTED_GB},
        {**there, "partition": "abrupt", "mem_gb": PREEMPTED_GB},
    ]
    sweeps, victims = [], {}
    for number, (group, asked) in enumerate(zip(GROUPS, settings, strict=True)):
        sweep = sweep_of(folder / str(number), len(group), steps=steps, name="slurm", **asked)
        submit(sweep)
        sweeps.append(sweep)
        victims |= {name: Victim(sweep.trial(seed)) for seed, name in enumerate(group)}
    return sweeps, victims


class Together:
    """These faults, each made to its victim, where it has one."""

    def __init__(self, cluster: Cluster, victims: Mapping[str, Victim]) -> None:
        preempted = [victims[name] for name in (GRACEFUL, ABRUPT) if name in victims]
        self._faults: dict[str, Fault] = {
            name: SINGLE[name](cluster, victim) for name, victim in victims.items() if name in SINGLE
        }
        self._preemption = Preemption(cluster, preempted, PREEMPTOR_MB) if preempted else None
        if self._preemption is not None:
            self._faults["preemption"] = self._preemption

    def strike(self) -> None:
        for fault in self._chosen(DARK, ZOMBIE, LIMITED, REQUEUED, CANCELLED, "preemption"):
            fault.strike()

    def carry_on_soon(self) -> None:
        """What takes seconds."""
        for fault in self._chosen("preemption", CANCELLED, REQUEUED):
            fault.carry_on()

    def carry_on_late(self) -> None:
        """What Slurm notices only after a while; until then the preempted wait."""
        if self._preemption is not None:
            self._preemption.end()
        for fault in self._chosen(LIMITED, DARK, ZOMBIE):
            fault.carry_on()

    def wake(self) -> None:
        """When all is over: what still stands on the lost node goes on."""
        for fault in self._chosen(ZOMBIE):
            assert isinstance(fault, DaemonLoss)
            fault.wake()

    def _chosen(self, *names: str) -> list[Fault]:
        return [self._faults[name] for name in names if name in self._faults]
