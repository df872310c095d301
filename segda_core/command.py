"""How the core's commands tell results and end: problems with exit code 2, in silence if nobody reads on."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from segda_core.errors import ConfigError, DataError
from segda_core.files import write_json


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


def tell(result: Mapping[str, Any], output: Path | None, shown: Table | None) -> None:
    """Write a result where it is kept, and print it: as a table, or without one as JSON."""
    if output is not None:
        write_json(output, result)
    if shown is None:
        print(json.dumps(result, indent=1))
    else:
        Console().print(shown)
