"""Rounds: every fault once on one executor, at random moments, and what became of the trials."""

import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from private_slurm.cluster import Cluster
from slurm_cluster import settle
from small_sweep import SmallSweep, kill, wait_until

from faults.slurm import ControllerRestart, job_of
from faults.strikes import Moment, Strike, hold, kill_driver, kill_one, make_all
from faults.together import ARRAY, Together, submit, submit_together, sweep_of
from faults.victim import Victim
from launcher.executors.ray_head import Head, write_standing

STEPS = 60
KILLS = {f"kill -9 {role}": role for role in ("worker", "torchrun", "runner")}
LAUNCHER, DRIVER = "kill -9 launcher", "kill -9 driver of Ray Tune"
WAITING, CONTROLLER = "scancel, waiting", "slurmctld restart"
COMMAND = ("sweep", "quick", "--wait")


@dataclass(frozen=True)
class Launch:
    """One running `segda sweep` with the trials of some faults."""

    sweep: SmallSweep
    faults: Sequence[str]
    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, folder: Path, *faults: str, **settings: object) -> "Launch":
        """Seed 0 is for the first fault, and so on."""
        sweep = sweep_of(folder, len(faults), steps=STEPS, retry=6, **settings)
        return cls(sweep, faults, sweep.start(*COMMAND))

    def victims(self) -> dict[str, Victim]:
        """By fault, as soon as all have an attempt."""
        wait_until(lambda: len(self.sweep.attempts()) >= len(self.faults))
        return {fault: Victim(self.sweep.trial(seed)) for seed, fault in enumerate(self.faults)}

    def finish(self) -> None:
        """Wait for its end, and give the same command again, as a user would."""
        end(self.sweep, self.process)
        end(self.sweep, self.sweep.start(*COMMAND))


def end(sweep: SmallSweep, process: "subprocess.Popen[str]") -> None:
    """Wait for a launch; one that hangs is ended and told of, and what it did not finish counts as lost."""
    try:
        sweep.finish(process)
    except AssertionError as hang:
        print(hang, flush=True)


@dataclass(frozen=True)
class Struck:
    """A trial that a fault was made to when it was not done yet."""

    fault: str
    victim: Victim


def left_alone(folder: Path) -> SmallSweep:
    """The trials of every sweep here, with nothing done to them."""
    sweep = sweep_of(folder, len(ARRAY), steps=STEPS)
    submit(sweep)
    return sweep


def local_round(folder: Path, chance: random.Random) -> list[Struck]:
    one = Launch.start(folder / "processes", *KILLS, max_parallel=len(KILLS))
    return kill_processes([one, Launch.start(folder / "launcher", LAUNCHER)], chance)


def ray_round(folder: Path, chance: random.Random, head: Head) -> list[Struck]:
    launches = []
    for name, faults in (("processes", tuple(KILLS)), ("launcher", (LAUNCHER,)), ("driver", (DRIVER,))):
        write_standing(head, folder / name / "locks")
        launches.append(Launch.start(folder / name, *faults, name="ray"))
    return kill_processes(launches, chance)


def kill_processes(launches: Sequence[Launch], chance: random.Random) -> list[Struck]:
    """Each fault of some launches; they end as if nothing had happened, or the same command goes on."""
    strikes = []
    for launch in launches:
        for fault, victim in launch.victims().items():
            strikes.append(Strike(fault, victim, Moment.draw(chance, STEPS), killer(fault, victim, launch)))
    made = make_all(strikes)
    for launch in launches:
        launch.finish()
    return [Struck(strike.fault, strike.victim) for strike in made]


def killer(fault: str, victim: Victim, launch: Launch) -> Callable[[], bool]:
    if fault == LAUNCHER:
        return lambda: kill(launch.process.pid)
    if fault == DRIVER:
        return lambda: kill_driver(launch.process.pid)
    return lambda: kill_one(victim, KILLS[fault])


def slurm_round(folder: Path, chance: random.Random, cluster: Cluster) -> list[Struck]:
    """First what Slurm does itself, then kills, the end of a waiting job, a restart of the controller."""
    try:
        return [
            *faults_of_slurm(folder / "together", chance, cluster),
            *kills_under_slurm(folder, chance),
            *waiting_cancelled(folder / "waiting", cluster),
            *controller_restarted(folder / "controller", chance, cluster),
        ]
    finally:
        settle(cluster)


def faults_of_slurm(folder: Path, chance: random.Random, cluster: Cluster) -> list[Struck]:
    folder.mkdir()
    sweeps, victims = submit_together(folder, cluster, STEPS)
    made = make_all(
        [
            Strike(name, victim, Moment.draw(chance, STEPS), partial(hold, victim))
            for name, victim in victims.items()
        ]
    )
    together = Together(cluster, {strike.fault: strike.victim for strike in made})
    together.strike()
    together.carry_on_soon()
    together.carry_on_late()
    for sweep in sweeps:
        end(sweep, sweep.start(*COMMAND))
    together.wake()
    return [Struck(strike.fault, strike.victim) for strike in made]


def kills_under_slurm(folder: Path, chance: random.Random) -> list[Struck]:
    one = Launch.start(folder / "processes", *KILLS, name="slurm")
    return kill_processes([one, Launch.start(folder / "launcher", LAUNCHER, name="slurm")], chance)


def waiting_cancelled(folder: Path, cluster: Cluster) -> list[Struck]:
    sweep = sweep_of(folder, 1, steps=STEPS, name="slurm")
    submit(sweep, "--set=executor.sbatch={hold: true}")
    victim = Victim(sweep.trial(0))
    cluster.check("scancel", job_of(cluster, victim.attempt))
    end(sweep, sweep.start(*COMMAND))
    return [Struck(WAITING, victim)]


def controller_restarted(folder: Path, chance: random.Random, cluster: Cluster) -> list[Struck]:
    launch = Launch.start(folder, CONTROLLER, name="slurm")
    (victim,) = launch.victims().values()
    restart = ControllerRestart(cluster)

    def act() -> bool:
        restart.strike()
        time.sleep(chance.uniform(0, 5))
        restart.carry_on()
        return True

    made = make_all([Strike(CONTROLLER, victim, Moment.draw(chance, STEPS), act)])
    launch.finish()
    return [Struck(strike.fault, strike.victim) for strike in made]
