"""Commands of the training core that a user waits for, and may interrupt."""

import signal
import subprocess
import sys
import tempfile
import time

from launcher.processes.stop_signals import StopSignals, uninterrupted

POLL_S = 0.05


def run_core(module: str, *words: str, stdin: str | None = None) -> int:
    """Run `python -m MODULE WORDS`, which may load torch, to its end; its exit code.

    Ctrl-C has it end in order, a second one kills it; then `KeyboardInterrupt`.
    """
    stop = StopSignals()
    with stop.heard(), tempfile.TemporaryFile("w+") as given:
        given.write(stdin or "")
        given.seek(0)
        with uninterrupted({signal.SIGINT}):  # a terminal sends it to the child too, see `end_on_signals`
            child = subprocess.Popen(
                [sys.executable, "-m", module, *words], stdin=None if stdin is None else given
            )
        while child.poll() is None:
            if stop.count:
                child.send_signal(signal.SIGTERM if stop.count == 1 else signal.SIGKILL)
            time.sleep(POLL_S)
    if stop.count:
        print("interrupted: the same command begins again", file=sys.stderr)
        raise KeyboardInterrupt
    return child.returncode
