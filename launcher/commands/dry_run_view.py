"""What `--dry-run` prints on a terminal."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from launcher.commands.dry_run import DryRun, DryRunTrial
from launcher.commands.status_view import ROWS
from launcher.expand.points import short
from launcher.launching.decide import Action
from launcher.words import several

STYLES = {Action.RUN: "green", Action.WAIT: "cyan", Action.SKIP: "dim"}


def render(dry_run: DryRun, console: Console) -> None:
    """The dry run for a terminal: a line for each trial, then what it all takes."""
    title = f" on {dry_run.data} ({dry_run.file}), executor {dry_run.executor}\n"
    console.print(Text.assemble((dry_run.sweep, "bold"), title), soft_wrap=True)
    if dry_run.trials:  # an adaptive search begins without
        console.print(_trial_lines(dry_run.trials), soft_wrap=True)
    for line in _summary(dry_run):
        console.print(Text(line), soft_wrap=True)
    for script in dry_run.scripts:
        console.print(Text(script, "dim"), soft_wrap=True)
    for note in dry_run.notes:
        console.print(Text(f"note: {note}", "yellow"), soft_wrap=True)
    for problem in dry_run.problems:
        console.print(Text(f"problem: {problem}", "red"), soft_wrap=True)


def _trial_lines(trials: Sequence[DryRunTrial]) -> Text:
    """A line for each; of a large sweep only for those that run or wait, up to a number."""
    shown = list(trials)
    if len(shown) > ROWS:
        shown = [trial for trial in shown if trial.action is not Action.SKIP][:ROWS]
    width = max((len(trial.id) for trial in shown), default=0)
    text = Text()
    for trial in shown:
        text.append(f"{trial.action:<5} ", STYLES[trial.action])
        text.append(f"{trial.id:<{width}}  ")
        text.append(f"{trial.state:<9} {trial.reason}\n", "dim")
    if len(shown) < len(trials):
        text.append(f"{len(trials) - len(shown)} more trials; --json lists all\n", "dim")
    return text


def _summary(dry_run: DryRun) -> list[str]:
    actions = Counter(trial.action for trial in dry_run.trials)
    counts = ", ".join(f"{actions[action]} {word}" for action, word in WORDS.items() if actions[action])
    left_out = dry_run.planned - len(dry_run.trials)
    lines = [
        f"{several(len(dry_run.trials), 'trial')}: {counts or 'none yet'}"
        + (f" ({left_out} more are not selected)" if left_out else "")
    ]
    if dry_run.merged:
        points = dict(Counter(trial_id for _, trial_id in dry_run.merged))
        lines.append(
            f"{len(dry_run.merged)} more points are the same as one of {len(points)} of these trials, "
        )
        lines[-1] += f"as {short(dry_run.merged[0][0])}"
    if dry_run.to_run:
        lines += [*_needs(dry_run), *_commands(dry_run.to_run)]
    return lines


WORDS = {Action.RUN: "to run", Action.WAIT: "running elsewhere", Action.SKIP: "left as they are"}


def _needs(dry_run: DryRun) -> list[str]:
    short_of_it = ", not enough" if dry_run.disk_bytes > dry_run.free_bytes else ""
    disk = f"disk: about {_size(dry_run.disk_bytes)} ({_size(dry_run.free_bytes)} free{short_of_it})"
    judged = len(dry_run.to_run) - dry_run.unjudged
    if not judged:
        return [disk, "time: unknown, nothing comparable has finished yet"]
    rest = f", and {dry_run.unjudged} trials nothing is known about" if dry_run.unjudged else ""
    return [disk, f"time: about {_time(dry_run.seconds)}, by finished trials{rest}"]


def _commands(to_run: Sequence[DryRunTrial]) -> list[str]:
    rest = len(to_run) - 1
    note = f" (and {rest} like it, for their own directories; --json has them all)" if rest else ""
    return [f"command of the first{note}:" if rest else "command:", f"  {to_run[0].command}"]


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
