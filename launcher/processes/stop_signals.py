"""How a user stops a launch: INT, TERM and HUP, and how often they came."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from segda_core.process import USER_SIGNALS


class StopSignals:
    """Counts them: the first lets trials save, the second kills them."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Count while inside; a signal that the caller has us ignore (as nohup does) stays ignored."""
        heard = [signum for signum in USER_SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]
        before = {signum: signal.signal(signum, self._count) for signum in heard}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _count(self, signum: int, frame: FrameType | None) -> None:
        """Only Ctrl-C counts twice: a session that ends may send TERM and HUP both."""
        self.count = self.count + 1 if signum == signal.SIGINT else max(self.count, 1)


@contextmanager
def uninterrupted(signals: Iterable[signal.Signals] = USER_SIGNALS) -> Iterator[None]:
    """Keep what stops this process from commands that it starts meanwhile; it hears of it afterwards itself.

    Ctrl-C reaches every process on a terminal. A command may let the signals through when it is ready.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
