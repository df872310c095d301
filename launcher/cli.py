"""The command line `segda`: reads words, calls one function per command, and maps errors to exit codes.

Exit codes: 0 done, 1 some trials failed, 2 wrong usage, configuration, images or folders, 130 interrupted.
"""

import gc
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from launcher import leaderboard as board
from launcher.commands.core import RUNS, AsJson, Runs, TrialWord, core_app, note
from launcher.commands.dashboard import dashboard_app
from launcher.commands.doctor import doctor_app
from launcher.commands.dry_run_view import render as render_dry_run
from launcher.commands.explain import explain as explain_trial
from launcher.commands.explain import render as render_explanation
from launcher.commands.find_planned import find_planned
from launcher.commands.logs import find_attempt, read_log
from launcher.commands.prune import prune as prune_trials
from launcher.commands.schema import write_schemas
from launcher.commands.status_view import as_json, render_sweep, render_sweeps
from launcher.commands.sweep import dry_run as plan_dry_run
from launcher.commands.sweep import run_sweep
from launcher.expand.profile import SHIPPED
from launcher.launching.canary import at_work
from launcher.launching.decide import Requests
from launcher.launching.survey import make_images
from launcher.launching.survey import survey as survey_sweep
from launcher.launching.today import read_today
from launcher.status import read_status
from launcher.sweep import load_sweep
from launcher.trials.cancel import cancel as cancel_trials
from launcher.trials.cancel import take_out_of_queue, waiting_for
from launcher.trials.find import canaries_of, choose, find_sweep, find_trial, sweep_names, trial_directories
from launcher.words import several
from segda_core.errors import ConfigError, DataError

WATCH_S = 2.0
"""Seconds between two looks of `segda status --watch`."""

WHOLE_LINES = 10_000
"""Characters of a line of `segda status` where the output is no terminal: more than any has."""

COLLECT_EVERY = 100_000
"""New objects between two searches for unused ones: those of thousands of trials are all in use, and looking
through them again and again would take a fifth of a command's time."""

app = typer.Typer(
    name="segda",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Launch, train and rank domain-adaptation experiments for semantic segmentation.\n\n"
    "Example: [bold]segda sweep target_size[/], then [bold]segda leaderboard target_size[/]",
)
app.add_typer(core_app)
app.add_typer(doctor_app)
app.add_typer(dashboard_app)


def main() -> None:
    """Entry of the console script."""
    gc.set_threshold(COLLECT_EVERY)
    try:
        app()
    except (ConfigError, DataError, OSError) as error:  # OSError: a full disk, a folder that is read-only
        print(error, file=sys.stderr)
        sys.exit(2)


@app.command(epilog="Example: segda sweep target_size --only method=joint --max-parallel 2")
def sweep(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A file in sweeps/, by name or path.")],
    data: Annotated[str | None, typer.Option(metavar="P", help="Data profile instead of the file's.")] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="E", help="Where to run: local, slurm or ray.")
    ] = None,
    runs: Runs = RUNS,
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Trials at once; else as many as GPUs or cores carry.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|axis=value", help="Only these trials, or stage=NAME; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run and why; start nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the jobs of a cluster; a local sweep always does.")
    ] = False,
    canary: Annotated[
        bool,
        typer.Option(help="On a cluster, the trials of each kind wait for one of two steps."),
    ] = True,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="path=value", help="Change a setting; repeatable.")
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option(metavar="all|CAUSES", help="Also run failed trials, as nan,oom, or cancelled."),
    ] = None,
    rerun: Annotated[
        list[str] | None, typer.Option(metavar="ID|stale", help="Run finished trials anew; repeatable.")
    ] = None,
) -> None:
    """Run every trial of a sweep that is not done yet, then print the leaderboard."""
    if as_json and not dry_run:
        raise typer.BadParameter(
            "goes with --dry-run; a sweep that runs writes leaderboard.json", param_hint="--json"
        )
    if max_parallel is not None:
        settings = [*(settings or []), f"executor.max_parallel={max_parallel}"]
    loaded = load_sweep(name, data=data, executor=executor, overrides=settings or [])
    surveyed = survey_sweep(loaded, runs, only or [], retry, rerun or [], absent_classes=dry_run)
    if dry_run:
        planned = plan_dry_run(surveyed, wait, canary)
        _print_json(planned.as_json()) if as_json else render_dry_run(planned, Console())
        raise typer.Exit(2 if planned.problems else 0)
    if make_images(surveyed):
        surveyed = survey_sweep(loaded, runs, only or [], retry, rerun or [])
    raise typer.Exit(run_sweep(surveyed, Console(), wait, canary))


@app.command(epilog="Example: segda status target_size --watch")
def status(
    name: Annotated[str | None, typer.Argument(help="A sweep; without it, all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing, until Ctrl-C.")] = False,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Show the state of every trial of a sweep, or of all sweeps in short."""
    sweeps = [runs / each for each in sweep_names(runs)] if name is None else [find_sweep(name, runs)]
    today = read_today(sweeps)
    if as_json_:
        _print_json(as_json(sweeps, today))
        return
    console = Console()
    if not console.is_terminal:
        console.width = WHOLE_LINES
    if not watch:
        console.print(render_sweeps(runs, today) if name is None else render_sweep(sweeps[0], today))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            shown = render_sweeps(runs, today) if name is None else render_sweep(sweeps[0], today)
            live.update(shown, refresh=True)
            time.sleep(WATCH_S)


@app.command(epilog="Example: segda logs joint-streets-n10-s0 -f")
def logs(
    trial: TrialWord,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the attempt ends.")] = False,
    attempt: Annotated[int | None, typer.Option(help="Its number; else the newest.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Print what a trial's runner and workers print; a canary's too."""
    for text in read_log(find_attempt(find_trial(trial, runs, canaries=True), attempt), follow):
        sys.stdout.write(text)
        sys.stdout.flush()


@app.command(epilog="Example: segda cancel target_size method=adaptsegnet")
def cancel(
    name: Annotated[str, typer.Argument(metavar="SWEEP")],
    only: Annotated[list[str] | None, typer.Argument(metavar="[ID|axis=value]...")] = None,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Stop a sweep's running trials, and keep all planned ones from starting, until `--retry cancelled`."""
    sweep = find_sweep(name, runs)
    canaries = [] if only else at_work(sweep)
    marked = cancel_trials([*choose(sweep, only or [], note, planned=True), *canaries])
    if fault := take_out_of_queue(marked):
        note(fault)
    waiting = waiting_for(trial_directories(sweep), marked)
    if as_json_:
        ids = {"cancelled": marked, "waiting": waiting}
        _print_json({word: [files.root.name for files in found] for word, found in ids.items()})
        return
    for files in marked:
        print(f"cancelled  {files.root.name}")
    for files in waiting:
        print(f"waits      {files.root.name}: {read_status(files).message}")
    print(f"{several(len(marked), 'trial')} cancelled")


@app.command(epilog="Example: segda explain joint-streets-n10-s0")
def explain(
    trial: TrialWord,
    data: Annotated[str | None, typer.Option(metavar="P", help="Data profile, as for sweep.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="path=value", help="As for sweep; repeatable.")
    ] = None,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Say where each setting of a trial comes from, and why it will or will not run."""
    planned = find_planned(trial, runs, data=data, overrides=settings or [])
    explanation = explain_trial(planned.trial, planned.sweep, planned.expansion, planned.runs, Requests())
    _print_json(explanation.as_json()) if as_json_ else render_explanation(explanation, Console())


@app.command(epilog="Example: segda leaderboard target_size --per-class")
def leaderboard(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="One or several sweeps.")],
    form: Annotated[board.Format, typer.Option("--format", help="How to print it.")] = "terminal",
    per_class: Annotated[bool, typer.Option("--per-class", help="IoU of every class.")] = False,
    all_trials: Annotated[bool, typer.Option("--all", help="Every directory, not only the plan.")] = False,
    reference: Annotated[bool, typer.Option("--reference", help="Published numbers as well.")] = False,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Rank the methods of one or several sweeps; a single one's files runs/NAME/leaderboard.* are renewed."""
    if reference and form == "notes" and not as_json_:
        raise typer.BadParameter("goes with every format but notes", param_hint="--reference")
    sweeps = [find_sweep(name, runs) for name in names]
    today = read_today(sweeps)
    seen = board.see(names, runs, all_trials=all_trials, today=today)
    # before it is printed: who reads slowly shall not write over what a launch has written meanwhile
    if len(sweeps) == 1 and not all_trials and (fault := board.Board(sweeps[0], today).write(seen)):
        note(f"the leaderboard's files are not written: {fault}")
    board.show(
        seen,
        Console(),
        "json" if as_json_ else form,
        per_class=per_class,
        reference=[Path("sweeps/reference"), SHIPPED / "reference"] if reference else [],
    )


@app.command(epilog="Example: segda prune target_size --dry-run")
def prune(
    name: Annotated[str, typer.Argument(metavar="SWEEP")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be freed.")] = False,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Delete the training states of finished trials; final weights stay."""
    sweep = find_sweep(name, runs)
    pruned = prune_trials([*trial_directories(sweep), *canaries_of(sweep)], dry_run, note)
    if as_json_:
        _print_json({"checkpoints": pruned.files, "bytes": pruned.size, "deleted": not dry_run})
        return
    verb = "would free" if dry_run else "freed"
    checkpoints = several(pruned.files, "checkpoint")
    print(f"{verb} {pruned.size} bytes ({pruned.size / 1e6:.1f} MB) in {checkpoints}")


@app.command(epilog="Example: segda schema sweeps/schema")
def schema(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write.")] = Path("sweeps/schema"),
) -> None:
    """Write JSON schemas of sweep files and data profiles, for editors."""
    for path in write_schemas(folder):
        print(path)


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
