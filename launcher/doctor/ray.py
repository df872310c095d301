"""Ray: whether the head of `make dashboard` runs and answers, and what dead ones left."""

import os
from collections.abc import Iterator
from pathlib import Path

from launcher.doctor.finding import Finding, Level, Scope
from launcher.executors.ray_head import FOLDERS, Head, ask_dashboard, read_head, standing_head
from launcher.processes.process import on_this_machine, still_runs

PATIENCE_S = 10.0


def check_ray(scope: Scope) -> Iterator[Finding]:
    """The standing head, the address of another cluster, and folders of heads that are gone."""
    if address := os.environ.get("RAY_ADDRESS"):
        yield Finding(Level.NOTE, f"RAY_ADDRESS={address}: --executor ray uses it only with address: auto")
    head = standing_head()
    if head is None:
        yield Finding(
            Level.NOTE, "no standing Ray head: --executor ray starts one for each launch; make dashboard"
        )
    else:
        yield _answer(head)
    for folder in _dead_heads():
        yield Finding(Level.WARNING, f"left by a Ray head that is gone: {folder}", f"rm -r {folder}")


def _answer(head: Head) -> Finding:
    facts = {"address": head.address, "dashboard": head.dashboard, "cpus": head.cpus, "gpus": head.gpus}
    message = f"head {head.address} ({head.cpus} CPUs, {head.gpus} GPUs), dashboard {head.dashboard}"
    try:
        ask_dashboard(head, PATIENCE_S)
    except OSError as error:
        advice = "make dashboard-stop, then make dashboard; trials on it go on with the next segda sweep"
        return Finding(Level.PROBLEM, f"{message}: it does not answer: {error}", advice, facts)
    return Finding(Level.OK, message, facts=facts)


def _dead_heads() -> list[Path]:
    """Folders of this user's heads whose keeper does not run any more."""
    found = []
    for folder in FOLDERS.glob(f"segda-ray-{os.getuid()}-*"):
        head = read_head(folder)
        if head is not None and on_this_machine(head.keeper) and not still_runs(head.keeper):
            found.append(folder)
    return sorted(found)
