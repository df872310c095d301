"""`segda status`: the state of sweeps and trials, for people and for programs."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from launcher.launching.canary import at_work
from launcher.leaderboard import Today
from launcher.status import read_status
from launcher.trial_table import TrialTable, numbers_table
from launcher.trials.find import sweep_names, trial_names
from launcher.trials.plan import read_plan
from launcher.trials.progress import read_progress
from launcher.trials.states import State, TrialStatus
from launcher.words import duration, percent
from segda_core.trials.layout import TrialFiles

STYLES = {State.DONE: "green", State.RUNNING: "cyan", State.FAILED: "red", State.MISSING: "dim"}
"""Colours of the states; yellow for the others."""

ROWS = 60
"""Trials shown one by one; of a larger sweep only those that are neither done nor missing."""


def read_sweep(sweep: Path, today: Today) -> list[TrialStatus]:
    """Status of every trial that has a directory or is in the sweep's plan."""
    names = set(trial_names(sweep))
    names.update(trial_id for ids in read_plan(sweep.parent, sweep.name).values() for trial_id in ids)
    hashes = today.manifest_hashes
    return [read_status(TrialFiles(sweep / name), hashes, today.commit) for name in sorted(names)]


def counts(statuses: Sequence[TrialStatus]) -> dict[State, int]:
    """How many trials are in each state, in the order of the states."""
    found = Counter(status.state for status in statuses)
    return {state: found[state] for state in State if found[state]}


def in_words(statuses: Sequence[TrialStatus]) -> str:
    """`6 done, 1 failed (nan)` of some trials."""
    parts = []
    for state, count in counts(statuses).items():
        remarks = sorted({status.cause for status in statuses if status.state is state and status.cause})
        older = sum(status.older_code for status in statuses if status.state is state)
        remarks += [f"{older} by older code"] if older else []
        parts.append(f"{count} {state}" + (f" ({', '.join(remarks)})" if remarks else ""))
    return ", ".join(parts) or "no trials"


def render_sweeps(runs: Path, today: Today) -> RenderableType:
    """One row per sweep."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("sweep")
    table.add_column("trials", justify="right")
    table.add_column("states")
    for name in sweep_names(runs):
        statuses = read_sweep(runs / name, today)
        table.add_row(Text(name), str(len(statuses)), in_words(statuses))
    return table if table.row_count else Text(f"no sweeps in {runs}")


def render_sweep(sweep: Path, today: Today) -> RenderableType:
    """One row per trial, and the sum below."""
    statuses = read_sweep(sweep, today)
    shown = statuses
    if len(shown) > ROWS:
        shown = [status for status in shown if status.state not in (State.DONE, State.MISSING)][:ROWS]
    lines: list[RenderableType] = [_table(sweep, shown), *_reasons(shown)]
    if any(status.miou is not None and not status.metrics for status in shown):
        lines.append(Text("(mIoU): of the newest evaluation so far", style="dim"))
    if len(shown) < len(statuses):
        lines.append(Text(f"{len(statuses) - len(shown)} more trials; --json lists all", style="dim"))
    if any(status.state is State.QUEUED for status in statuses):
        lines += _canaries(sweep)
    return Group(*lines, Text(f"{sweep.name}: {in_words(statuses)}", style="bold"))


def _canaries(sweep: Path) -> list[Text]:
    """Those that the jobs of others may wait for, a line each."""
    found = map(read_status, at_work(sweep))
    return [
        Text(
            f"goes first: {status.id}: {': '.join(filter(None, (status.state, status.message)))}", style="dim"
        )
        for status in found
    ]


def as_json(sweeps: Sequence[Path], today: Today) -> dict[str, list[dict[str, Any]]]:
    """Sweep -> its trials' statuses, without the content of metrics.json."""
    return {sweep.name: [_plain(sweep, status) for status in read_sweep(sweep, today)] for sweep in sweeps}


def _plain(sweep: Path, status: TrialStatus) -> dict[str, Any]:
    names = (field.name for field in fields(status) if field.name != "metrics")
    return {**{name: getattr(status, name) for name in names}, "path": str(sweep / status.id)}


def _table(sweep: Path, statuses: Sequence[TrialStatus]) -> TrialTable:
    numbers = numbers_table(("attempt", "step", "images/s", "mIoU", "left"), header_style="bold")
    for status in statuses:
        numbers.add_row(*_cells(sweep, status))
    return TrialTable([Text(f"{'state':<11}trial", style="bold"), *map(_name, statuses)], numbers)


def _name(status: TrialStatus) -> Text:
    """State and id."""
    return Text.assemble((f"{status.state:<11}", STYLES.get(status.state, "yellow")), status.id)


def _reasons(statuses: Sequence[TrialStatus]) -> list[Text]:
    """Why trials stand as they do, a line for each reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for status in statuses:
        if why := ": ".join(part for part in (status.cause, status.message) if part):
            by_reason[why].append(status.id)
    return [Text(f"{_several(ids)}: {why}", style="dim") for why, ids in by_reason.items()]


def _several(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"


def _cells(sweep: Path, status: TrialStatus) -> tuple[str, ...]:
    return (
        _or_dash(status.attempt),
        "-" if status.step is None else f"{status.step}/{status.steps or '?'}",
        f"{status.images_per_second:.1f}" if status.images_per_second else "-",
        percent(status.miou) if status.miou is None or status.metrics else f"({percent(status.miou)})",
        _time_left(sweep, status),
    )


def _time_left(sweep: Path, status: TrialStatus) -> str:
    if status.state is not State.RUNNING:
        return "-"
    left = read_progress(TrialFiles(sweep / status.id)).seconds_left
    return "-" if left is None else duration(left)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
