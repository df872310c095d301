"""What `segda sweep` says before it starts anything."""

from rich.console import Console
from rich.text import Text

from launcher.commands.status_view import in_words
from launcher.launching.decide import Action
from launcher.launching.manifest import Manifest, read_manifests
from launcher.launching.survey import Survey
from launcher.trial import Trial
from launcher.trials.states import State
from launcher.words import several

WAITS_SHOWN = 10
"""Trials named one by one among those that wait for their parents."""


def announce(surveyed: Survey, console: Console) -> None:
    """Say what is about to run, and what about its images may surprise."""
    sweep, run = surveyed.sweep, surveyed.chosen(Action.RUN)
    merged = len(surveyed.expansion.merged)
    same = f" ({merged} more points resolve to one of these)" if merged else ""
    standing = in_words(list(surveyed.statuses.values()))
    trials = several(len(surveyed.trials), "trial")
    lines = [f"{sweep.name} on {sweep.data}: {trials}{same}: {standing}; {len(run)} to run"]
    lines += [f"note: {note}" for note in surveyed.expansion.notes]
    described = read_manifests(run, absent_classes=True)
    for text in dict.fromkeys(_surprise(trial, described[trial.id]) for trial in run):
        lines += [f"note: {text}"] if text else []
    for trial in surveyed.chosen(Action.WAIT):
        lines.append(f"waiting  {trial.id}: {surveyed.statuses[trial.id].state} elsewhere")
    lines += _waits(surveyed)
    for trial in surveyed.chosen(Action.SKIP):
        if surveyed.statuses[trial.id].state is not State.DONE:
            lines.append(f"left     {trial.id}: {surveyed.decisions[trial.id].reason}")
    for line in lines:
        say(console, line)


def _waits(surveyed: Survey) -> list[str]:
    """What has to wait for its parents: the first few one by one."""
    waiting = [trial for trial in surveyed.chosen(Action.RUN) if surveyed.decisions[trial.id].parents]
    lines = [
        f"waiting  {trial.id}: waits for {' and '.join(surveyed.decisions[trial.id].parents)}"
        for trial in waiting[:WAITS_SHOWN]
    ]
    more = len(waiting) - len(lines)
    return [*lines, f"waiting  {more} more trials wait for their parents"] if more else lines


def say(console: Console, line: str, style: str = "") -> None:
    """One line, whole and as it is, wherever the output goes."""
    console.print(Text(line, style), soft_wrap=True)


def _surprise(trial: Trial, manifest: Manifest) -> str:
    """What is odd about a trial's images."""
    parts = list(manifest.skipped)
    if manifest.absent_classes:
        names = ", ".join(manifest.absent_classes)
        parts.append(f"{manifest.labelled} labelled target images show none of: {names}")
    return "; ".join(parts)
