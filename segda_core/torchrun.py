"""torchrun, sooner there and sooner gone: `python -m segda_core.torchrun` with the arguments it takes.

A quarter of what it costs beside its workers is looking for garbage while torch loads and taking the
interpreter apart; and each time it leaves a folder among the temporary files.
"""

import os
import signal
import sys
import tempfile
import traceback

from segda_core.process import AGENT_VARIABLE, leave_at_once, load


def main() -> None:
    """Run the agent and its workers to their end; exit code 1 where that failed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while it loads, torch swallows a KeyboardInterrupt
    torchrun = load("torch.distributed.run")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ[AGENT_VARIABLE] = str(os.getpid())
    try:
        with tempfile.TemporaryDirectory(prefix="torchelastic_", ignore_cleanup_errors=True) as logs:
            torchrun.main(["--log-dir", logs, *sys.argv[1:]])
    except Exception:
        traceback.print_exc()
        leave_at_once(1)
    leave_at_once()


if __name__ == "__main__":
    main()
