"""Files that readers see whole or not at all, whoever writes them at the same time."""

import errno
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json

STALE_TRIES = 3
"""Times a file is opened that is replaced again and again while it is read."""

BROKEN = (ValueError, KeyError, TypeError, AttributeError)
"""What reading a JSON file of ours raises that was cut off or changed by hand."""


def from_home(path: Path) -> Path:
    """A path with ~ for the home folder; one of a user who is not known here stays as it is."""
    with suppress(RuntimeError):
        return path.expanduser()
    return path


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of text."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content: temporary file in the same folder, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # as on a full disk
            error.filename = str(path)
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """`write_text` of JSON, indented, NaN refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any | None:
    """The file's JSON, or None where there is no such file."""
    try:
        content = _bytes(path)
    except FileNotFoundError:
        return None
    try:
        return from_json(content)  # twice as fast, for folders of thousands of trials
    except ValueError:
        return json.loads(content)  # which says what is wrong, and reads names that are not UTF-8


def _bytes(path: Path, tries: int = STALE_TRIES) -> bytes:
    """What the file holds; one that was replaced on another machine meanwhile is opened anew.

    All our files are replaced by renaming, and NFS may tell ESTALE to whoever had opened the old one.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            return stream.read()
    except OSError as error:
        if error.errno != errno.ESTALE or tries == 1:
            raise
    return _bytes(path, tries - 1)


def publish(path: Path, final: Path) -> bool:
    """Give a finished file its final name exactly once; False if that name exists already.

    A hard link fails where the name exists; file systems without links get an exclusive create.
    """
    try:
        os.link(path, final)
    except FileExistsError:
        return False
    except OSError:
        return _publish_by_copy(path, final)
    return True


def _publish_by_copy(path: Path, final: Path) -> bool:
    try:
        handle = os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as stream:
        stream.write(path.read_bytes())
        stream.flush()
        os.fsync(stream.fileno())
    return True
