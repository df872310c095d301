"""`segda doctor` on the command line."""

import json
from typing import Annotated

import typer
from rich.console import Console

from launcher.commands.core import RUNS, AsJson, Runs
from launcher.doctor.finding import Level, Scope
from launcher.expand.profile import load_profile

doctor_app = typer.Typer()


@doctor_app.command(epilog="Example: segda doctor streets")
def doctor(
    profile: Annotated[
        str | None, typer.Argument(metavar="[PROFILE]", help="Also look for this data profile's images.")
    ] = None,
    as_json_: AsJson = False,
    runs: Runs = RUNS,
) -> None:
    """Look at what trials need here: GPUs, disk, images, Slurm, Ray. Exit code 1: trials would fail."""
    from launcher.doctor.report import as_json, examine, render  # loads what no other command needs

    console = Console()
    found = []
    for subject, finding in examine(Scope(runs, None if profile is None else load_profile(profile)[1])):
        found.append((subject, finding))
        if not as_json_:
            render(subject, finding, console)
    if as_json_:
        print(json.dumps(as_json(found), indent=1))
    raise typer.Exit(any(finding.level is Level.PROBLEM for _, finding in found))
