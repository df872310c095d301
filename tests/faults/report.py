"""What became of trials that faults were made to, counted, and docs/faults.md."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from small_sweep import SmallSweep, history_of, result_of

from faults.victim import Victim
from segda_core.layout import read_json


@dataclass
class Count:
    """Of one fault on one executor."""

    tried: int = 0
    """Times it was made to a trial that was not done yet."""
    lost: int = 0
    """Not done in the end."""
    duplicated: int = 0
    """Done twice, or run again when it was done."""
    equal: int = 0
    """Scores, losses by step and the weights' checksum are those of the same trial left alone."""

    @property
    def is_clean(self) -> bool:
        return self.lost == self.duplicated == 0 and self.equal == self.tried

    def add(self, victim: Victim, alone: SmallSweep) -> None:
        """Count one more, by the files of the trial and of the one left alone."""
        self.tried += 1
        metrics = read_json(victim.files.metrics)
        if metrics is None:
            self.lost += 1
            return
        ran_on = metrics["attempt"] != victim.files.attempt_numbers()[-1]
        self.duplicated += ran_on or victim.statuses().count("done") > 1
        (same,) = [files for files in alone.trials() if files.root.name == victim.files.root.name]
        self.equal += all(tell(victim.files) == tell(same) for tell in (result_of, history_of))


Counts = Mapping[tuple[str, str], Count]
"""By executor and fault."""

TEXT = """\
# Faults: how often each was made, and what it cost

Written by

    make faults REPEAT={repeat} SEED={seed}

on {date} ({machine}; {versions}).

Every fault is made to a small trial of its own at a random moment: one in four while the attempt starts,
the others at a random step. For a fault of Slurm's the workers are stopped at that moment until it has
reached them, so that none comes too late. Then the sweep is ended as a user would end it, by the same
command. *Tried* counts the trials that were not done when the fault came; *lost* those not done in the end;
*duplicated* those done twice or run again when they were done; *equal* those with the scores, the losses at
every step and the weights' SHA-256 of the same trial left alone, under the local executor.

| executor | fault | tried | lost | duplicated | equal |
|---|---|--:|--:|--:|--:|
{rows}

Sum: {tried} tried, {lost} lost, {duplicated} duplicated, {equal} equal.
"""


def markdown(counts: Counts, repeat: int, seed: int, machine: str, versions: str) -> str:
    """The page."""
    rows = [
        f"| {executor} | {fault} | {count.tried} | {count.lost} | {count.duplicated} | {count.equal} |"
        for (executor, fault), count in sorted(counts.items())
    ]
    return TEXT.format(
        repeat=repeat, seed=seed, machine=machine, versions=versions,
        date=time.strftime("%Y-%m-%d"), rows="\n".join(rows), **total(counts.values()),
    )  # fmt: skip


def total(counts: Iterable[Count]) -> dict[str, int]:
    """Sums by column."""
    columns = ("tried", "lost", "duplicated", "equal")
    counted = list(counts)
    return {column: sum(getattr(count, column) for count in counted) for column in columns}
