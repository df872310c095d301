"""`segda dashboard` on the command line."""

import shlex
from typing import Annotated

import typer

dashboard_app = typer.Typer()


@dashboard_app.command(epilog="Example: segda dashboard, then segda sweep lr_search --executor ray")
def dashboard(
    stop: Annotated[bool, typer.Option("--stop", help="End it, and the trials that run on it.")] = False,
) -> None:
    """Start a Ray head that stays, with its dashboard; sweeps with executor ray use it."""
    from launcher.executors.ray_dashboard import start_dashboard, stop_dashboard  # no other command needs it

    if stop:
        ended = stop_dashboard()
        print("no Ray head of `segda dashboard` runs" if ended is None else f"ended: {ended.dashboard}")
        return
    head = start_dashboard()
    print(f"Ray dashboard: {head.dashboard} (only from this machine; from elsewhere through ssh -L)")
    print(
        f"It asks for a token, which is in a file that only you can read: cat {shlex.quote(str(head.token))}"
    )
    print("Sweeps with executor ray now run there. It stays until `segda dashboard --stop`.")
