"""Files of the image cache: pixels behind one line of JSON, whole or absent, within a budget of bytes.

Any number of processes and machines may read, write and clear the same folder at once. Nothing here makes a
trial fail: what cannot be kept is not, and `refusal` says why.
"""

import contextlib
import json
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from segda_core.data.index import expand_root
from segda_core.data.labels import Pixels
from segda_core.errors import ConfigError
from segda_core.files import from_home

FOLDER, FOLDER_VARIABLE = "${SEGDA_DATA:-data}/cache", "SEGDA_CACHE"
"""Where the cache lies, and what names another folder."""

BUDGET_GB, BUDGET_VARIABLE = 120.0, "SEGDA_CACHE_GB"
"""GTA5 and Cityscapes at AdaptSegNet's sizes take 103; checkpoints may have to share a quota with it."""

SHARE_LEFT_FREE = 0.1
"""Of the disk: nothing is added to one that is fuller, whatever the budget."""

ENDING, UNFINISHED = ".pixels", ".pixels.part"

UNUSED_S = 86_400.0
"""Files unread for longer make room; longer than an epoch, so that trials do not evict their own images."""

TOUCH_S = 3_600.0
"""How old the time of last use may be, which is a file's time of change, before a reader renews it."""

ABANDONED_S = 3_600.0
"""Age from which an unfinished file is one that its writer was killed over."""


@dataclass(frozen=True)
class Entry:
    """One finished file."""

    path: Path
    size: int
    used: float
    """Time of last use, to within `TOUCH_S`."""


class Store:
    """Arrays of uint8 by name, each with facts about it, below one folder."""

    def __init__(self, root: Path, budget: float) -> None:
        """`budget`: bytes."""
        self.root = root
        self.budget = budget
        self.refusal = ""
        """Why nothing more is kept; empty while there is room."""
        self._used = 0
        self._added = float("inf")
        """Bytes since `_used` was counted: at first, and again from time to time, for others write too."""

    def read(self, name: str) -> tuple[dict[str, Any], Pixels] | None:
        """Facts and pixels, mapped into memory; None where they are not there whole."""
        path = self.root / name
        try:
            with path.open("rb") as stream:
                line = stream.readline()
                facts = json.loads(line)
                status = os.fstat(stream.fileno())
                if status.st_size != len(line) + int(np.prod(facts["shape"])):
                    return None
                content = _mapped(stream)
        except (OSError, ValueError):  # not there, cut off by a crash of the machine, cleared meanwhile
            return None
        if status.st_mtime < time.time() - TOUCH_S:
            with contextlib.suppress(OSError):  # another user's, or cleared meanwhile
                os.utime(path)
        return facts, np.frombuffer(content, np.uint8, offset=len(line)).reshape(facts["shape"])

    def write(self, name: str, facts: dict[str, Any], pixels: Pixels) -> None:
        """Keep an array, unless there is no room or another process was faster."""
        if self.refusal:
            return
        line = json.dumps({**facts, "shape": pixels.shape}).encode() + b"\n"
        try:
            if self._make_room(len(line) + pixels.nbytes):
                self._publish(name, line, pixels)
        except FileNotFoundError:
            return  # the folder was cleared meanwhile; the next image makes it again
        except OSError as error:
            self.refusal = f"{self.root}: {error.strerror}"

    def entries(self) -> Iterator[Entry]:
        """Every finished file; files that killed writers left are removed on the way."""
        abandoned = time.time() - ABANDONED_S
        for file in _below(self.root, depth=2):
            if not file.name.endswith((ENDING, UNFINISHED)):
                continue
            with contextlib.suppress(OSError):  # removed by another process, or another user's
                status = file.stat()
                if file.name.endswith(ENDING):
                    yield Entry(Path(file.path), status.st_size, status.st_mtime)
                elif status.st_mtime < abandoned:
                    Path(file.path).unlink()

    @staticmethod
    def facts(entry: Entry) -> dict[str, Any] | None:
        """What is known about an entry, which does not count as use; None where it is gone or broken."""
        with contextlib.suppress(OSError, ValueError), entry.path.open("rb") as stream:
            facts: dict[str, Any] = json.loads(stream.readline())
            return facts
        return None

    def clear(self) -> int:
        """Remove every finished file and nothing else; the bytes freed."""
        freed = 0
        folders = set()
        for entry in self.entries():
            entry.path.unlink(missing_ok=True)
            freed += entry.size
            folders.add(entry.path.parent)
        for folder in [*folders, *{folder.parent for folder in folders}]:
            with contextlib.suppress(OSError):  # not empty: somebody writes
                folder.rmdir()
        return freed

    def _make_room(self, size: int) -> bool:
        self.root.mkdir(parents=True, exist_ok=True)
        if self._added > self.budget / 100:
            self._used, self._added = sum(entry.size for entry in self.entries()), 0
        excess = self._used + self._added + size - self.budget
        if excess > 0 and size <= self.budget:  # a budget of 0 adds nothing, and takes nothing from others
            excess -= self._remove_unused(excess + self.budget / 100)  # looking through all of it is slow
        disk = shutil.disk_usage(self.root)
        if excess > 0:
            self.refusal = f"{self.root} has reached its {self.budget / 1e9:g} GB ({BUDGET_VARIABLE})"
        elif disk.free - size < SHARE_LEFT_FREE * disk.total:
            self.refusal = f"{self.root}: less than {SHARE_LEFT_FREE:.0%} of the disk would be free"
        return not self.refusal

    def _remove_unused(self, needed: float) -> int:
        """Remove what was used longest ago until so many bytes are free, or all is in use."""
        unused = (entry for entry in self.entries() if entry.used < time.time() - UNUSED_S)
        freed = 0
        for entry in sorted(unused, key=lambda entry: entry.used):
            if freed >= needed:
                break
            entry.path.unlink(missing_ok=True)
            freed += entry.size
        self._used -= freed
        return freed

    def _publish(self, name: str, line: bytes, pixels: Pixels) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(line)
                stream.write(np.ascontiguousarray(pixels).data)
                stream.flush()
                os.fsync(stream.fileno())
            if self.read(name) is None:
                Path(temporary).chmod(0o644)
                Path(temporary).replace(path)
                self._added += len(line) + pixels.nbytes
        finally:
            Path(temporary).unlink(missing_ok=True)


def open_store() -> Store:
    """The cache that the environment names; `ConfigError` where its budget is no number."""
    text = os.environ.get(BUDGET_VARIABLE) or str(BUDGET_GB)
    try:
        budget = float(text)
    except ValueError:
        budget = -1
    if not 0 <= budget < float("inf"):
        raise ConfigError([f"{BUDGET_VARIABLE}: found {text!r}; a number of gigabytes is needed, as 250"])
    folder = os.environ.get(FOLDER_VARIABLE)
    return Store(from_home(Path(folder)) if folder else expand_root(FOLDER), budget * 1e9)


def _mapped(stream: BinaryIO) -> "mmap.mmap | bytes":
    """A file's content; read where its file system maps nothing into memory."""
    try:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        stream.seek(0)
        return stream.read()


def _below(folder: Path | str, depth: int) -> Iterator["os.DirEntry[str]"]:
    """What lies that many folders down, without what others remove meanwhile or do not show us."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if depth:
                yield from _below(entry.path, depth - 1)
            else:
                yield entry
