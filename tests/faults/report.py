"""What became of trials that faults were made to, counted, and docs/faults.md."""

import fcntl
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path

from small_sweep import SmallSweep, history_of, result_of

from faults.victim import Victim
from segda_core.files import read_json


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

    def __add__(self, other: "Count") -> "Count":
        return Count(*map(sum, zip(astuple(self), astuple(other), strict=True)))

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

{runs}

One SEED draws the same moments each time: its runs repeat each other's first rounds, perhaps on other code.
Every fault is made to a small trial of its own at a random moment: one in four while the attempt starts,
the others at a random step; *scancel, waiting* is made to a job that is held in the queue. For a fault of
Slurm's other than a controller's restart the workers are stopped at that moment until it has reached them,
so that none comes too late. Then the sweep is ended as a user would end it, by the same command; a launch
that hangs is broken off. *Tried* counts the trials that were not done when the fault came; *lost* those not
done in the end; *duplicated* those done twice or run again when they were done; *equal* those with the
scores, the losses at every step and the weights' SHA-256 of the same trial left alone, under the local
executor.

| executor | fault | tried | lost | duplicated | equal |
|---|---|--:|--:|--:|--:|
{rows}

Sum: {tried} tried, {lost} lost, {duplicated} duplicated, {equal} equal.
"""


RUN = "    make faults REPEAT={repeat} SEED={seed}{add}    # {date}: {machine}; {versions}"
ROW = re.compile(r"^\| (\w+) \| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


def run_line(repeat: int, seed: int, machine: str, versions: str, *, added: bool = False) -> str:
    """What says on the page that so many rounds were run today, perhaps added to earlier ones."""
    date, add = time.strftime("%Y-%m-%d"), " ADD=1" if added else ""
    return RUN.format(repeat=repeat, seed=seed, add=add, date=date, machine=machine, versions=versions)


def markdown(counts: Counts, runs: Iterable[str]) -> str:
    """The page."""
    rows = [
        f"| {executor} | {fault} | {' | '.join(map(str, astuple(count)))} |"
        for (executor, fault), count in sorted(counts.items())
    ]
    return TEXT.format(runs="\n".join(runs), rows="\n".join(rows), **total(counts.values()))


def read_page(text: str) -> tuple[dict[tuple[str, str], Count], list[str]]:
    """Counts and runs that a page tells of."""
    counts = {(row[0], row[1]): Count(*map(int, row[2:])) for row in ROW.findall(text)}
    return counts, [line for line in text.splitlines() if line.startswith("    make faults ")]


@dataclass
class Page:
    """The file, as one run adds to it round by round; another run may add to it at the same time."""

    path: Path
    _run: str | None = field(default=None, init=False)
    """This run's line on it."""

    def clear(self) -> None:
        """Forget earlier runs."""
        self.path.write_text("")

    def add(self, counts: Counts, run: str) -> dict[tuple[str, str], Count]:
        """Add a round's counts, and put `run` where this run's line was; all counts on the page."""
        with self.path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            on_page, runs = read_page(file.read())
            if self._run in runs:
                runs[runs.index(self._run)] = run
            else:
                runs.append(run)
            for key, count in counts.items():
                on_page[key] = on_page.get(key, Count()) + count
            file.seek(0)
            file.write(markdown(on_page, runs))
            file.truncate()
        self._run = run
        return on_page


def total(counts: Iterable[Count]) -> dict[str, int]:
    """Sums by column."""
    columns = ("tried", "lost", "duplicated", "equal")
    counted = list(counts)
    return {column: sum(getattr(count, column) for count in counted) for column in columns}
