"""How the core's commands end: problems on stderr with exit code 2, and in silence where nobody reads on."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from segda_core.errors import ConfigError, DataError


@contextmanager
def usual_errors() -> Iterator[None]:
    """Say what the user can mend; a reader who has seen enough (`| head`) is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
    except (ConfigError, DataError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
