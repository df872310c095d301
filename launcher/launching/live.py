"""What a launch shows while it runs: a live table on a terminal, plain lines anywhere else."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from launcher.trial_table import TrialTable, numbers_table
from launcher.trials.progress import Progress
from launcher.words import duration, percent

PLAIN_INTERVAL_S = 10.0
"""Seconds between progress lines where the output is no terminal."""

DOING = {"evaluate": "evaluating", "quality": "measuring quality"}
"""What a trial does in phases without training steps."""

BAR_WIDTH = 12
"""Characters of a progress bar; the words in its place are no longer."""


@dataclass(frozen=True)
class Row:
    """One trial that runs, here or under another launcher."""

    id: str
    progress: Progress
    elsewhere: bool = False


@dataclass(frozen=True)
class Overview:
    """The whole launch as it stands."""

    finished: int
    total: int
    rows: Sequence[Row]
    seconds_left: float | None = None
    queued: int = 0
    """Trials whose jobs wait in a cluster's queue."""
    waiting: int = 0
    """Trials whose parents are not done."""


class View(Protocol):
    """Where a launch's events and progress go."""

    def say(self, line: str, style: str = "") -> None:
        """One event, on a line of its own."""

    def show(self, overview: Overview) -> None:
        """The progress as it is now; called several times a second."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PlainView:
    """Plain lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def say(self, line: str, style: str = "") -> None:
        """Print one event."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()

    def show(self, overview: Overview) -> None:
        """Print one line for each running trial every 10 s."""
        if time.monotonic() - self._last < PLAIN_INTERVAL_S:
            return
        self._last = time.monotonic()
        for row in overview.rows:
            self.say(f"  {row.id}: {describe(row)}")
        self.say(f"  {_overall(overview)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put back."""


class LiveView:
    """A table that stays at the bottom of the terminal, with events scrolling above it.

    It is drawn by the launch loop itself: no thread, so that starting processes stays safe.
    """

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def say(self, line: str, style: str = "") -> None:
        """Print one event above the table."""
        self._live.console.print(Text(line, style=style), soft_wrap=True)

    def show(self, overview: Overview) -> None:
        """Redraw the table."""
        self._live.update(Group(_table(overview), Text(_overall(overview), style="bold")), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the table away."""
        self._live.stop()


def make_view(console: Console) -> View:
    """The view that suits where the output goes."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def describe(row: Row) -> str:
    """One running trial in words."""
    progress = row.progress
    parts = ["running elsewhere"] if row.elsewhere else []
    parts.append(_where(progress))
    if progress.images_per_second is not None:
        parts.append(f"{progress.images_per_second:.1f} images/s")
    if progress.miou is not None:
        parts.append(f"mIoU {percent(progress.miou)}")
    if progress.seconds_left is not None and progress.phase == "train":
        parts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)


def _where(progress: Progress) -> str:
    if progress.phase == "start" or progress.step is None:
        return "starting"
    place = f"step {progress.step}/{progress.steps or '?'}"
    doing = DOING.get(progress.phase)
    return f"{place}, {doing}" if doing else place


def _table(overview: Overview) -> TrialTable:
    numbers = numbers_table(("", "step", "images/s", "mIoU", "left"), header_style="dim")
    for row in overview.rows:
        progress = row.progress
        left = progress.seconds_left if progress.phase == "train" else None
        numbers.add_row(
            _bar(row),
            "-" if progress.step is None else f"{progress.step}/{progress.steps or '?'}",
            "-" if progress.images_per_second is None else f"{progress.images_per_second:.1f}",
            percent(progress.miou),
            "-" if left is None else duration(left),
        )
    names = [Text(row.id, style="dim" if row.elsewhere else "") for row in overview.rows]
    return TrialTable([Text("trial", style="dim"), *names], numbers)


def _bar(row: Row) -> ProgressBar | Text:
    """How far a trial is, or in a word what it does beside training."""
    progress = row.progress
    if row.elsewhere:
        word = "elsewhere"
    elif progress.phase == "start" or progress.step is None:
        word = "starting"
    elif progress.phase in DOING:
        word = DOING[progress.phase].split()[-1]
    else:
        return ProgressBar(total=progress.steps or 1, completed=progress.step, width=BAR_WIDTH)
    return Text(word, justify="left")


def _overall(overview: Overview) -> str:
    running = sum(not row.elsewhere for row in overview.rows)
    text = f"{overview.finished} of {overview.total} trials finished, {running} running"
    elsewhere = len(overview.rows) - running
    text += f", {elsewhere} elsewhere" if elsewhere else ""
    text += f", {overview.queued} queued" if overview.queued else ""
    text += f", {overview.waiting} waiting for parents" if overview.waiting else ""
    return text if overview.seconds_left is None else f"{text}, about {duration(overview.seconds_left)} left"
