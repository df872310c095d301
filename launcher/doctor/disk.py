"""Room for results, and what their file system can do: attempts are claimed and published through it."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from launcher.doctor.finding import Finding, Level, Scope
from launcher.trials.life import clock_offset

LITTLE_BYTES = 10e9
CLOCK_S = 5.0
"""Seconds between the file system's clock and this machine's that are worth a word."""

PROBE_BYTES = 1_000_000
MOUNTS = Path("/proc/self/mounts")

SHARED = ("nfs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "fuse", "9p")
"""How the names of file systems begin that other machines write too."""


def check_disk(scope: Scope) -> Iterator[Finding]:
    """Free space, file names left, and whether a file can really be written: quotas show nowhere else."""
    usage = shutil.disk_usage(scope.folder)
    names = os.statvfs(scope.folder)
    facts = {"folder": str(scope.folder), "free_bytes": usage.free, "free_names": names.f_favail}
    message = f"{scope.folder}: {usage.free / 1e9:.0f} GB free of {usage.total / 1e9:.0f}"
    advice = "segda prune frees the training states of finished trials; --runs puts results elsewhere"
    kind = file_system(scope.folder)
    if fault := _write_fault(scope.folder):
        yield Finding(Level.PROBLEM, f"{scope.folder}: nothing can be written: {fault}", advice, facts)
    elif usage.free < LITTLE_BYTES:
        yield Finding(Level.WARNING, message, advice, facts)
    elif names.f_files and names.f_favail < names.f_files / 100:
        yield Finding(Level.WARNING, f"{message}, but only {names.f_favail} more files", advice, facts)
    else:
        yield Finding(Level.OK, message, facts=facts)
    if kind.startswith(SHARED):
        hint = "lfs quota -h ." if kind == "lustre" else "quota -s"
        yield Finding(Level.NOTE, f"file system {kind}: a quota of yours may be smaller; `{hint}` shows it")


def check_file_system(scope: Scope) -> Iterator[Finding]:
    """Hard links, locks and the clock, tried out in a folder that is removed again."""
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor.", dir=scope.folder) as name:
            yield from _try_out(Path(name), scope)
    except OSError as error:
        yield Finding(
            Level.PROBLEM, f"{scope.folder}: {error}", "make it writable, or use another with --runs"
        )


def _try_out(folder: Path, scope: Scope) -> Iterator[Finding]:
    facts = {"file_system": file_system(folder), "hard_links": _links(folder), "locks": _locks(folder)}
    offset = clock_offset(scope.folder)
    facts["clock_offset"] = round(offset, 3)
    if not facts["locks"]:
        yield Finding(
            Level.PROBLEM,
            f"{facts['file_system']} refuses locks (flock)",
            "mount it with locks, as nfs does",
            facts,
        )
    if not facts["hard_links"]:
        message = f"{facts['file_system']} has no hard links: results are published by exclusive creation"
        yield Finding(Level.NOTE, message, facts=facts)
    if abs(offset) > CLOCK_S:
        message = f"its clock is {offset:+.0f} s off this machine's; ages of heartbeats are corrected by that"
        yield Finding(Level.WARNING, message, "have both machines' clocks set (NTP)", facts)
    if facts["locks"] and facts["hard_links"]:
        yield Finding(Level.OK, f"{facts['file_system']}: hard links and locks work", facts=facts)


def file_system(folder: Path) -> str:
    """Name of the file system that holds a folder, as `ext4`."""
    mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
    points = [(point.replace("\\040", " "), kind) for point, kind in mounts]
    above = [(len(point), kind) for point, kind in points if folder.resolve().is_relative_to(point)]
    return max(above, default=(0, "unknown"), key=lambda each: each[0])[1]


def _write_fault(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"\0" * PROBE_BYTES)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return "your quota is used up" if error.errno == errno.EDQUOT else str(error)
    return ""


def _links(folder: Path) -> bool:
    (folder / "file").touch()
    try:
        os.link(folder / "file", folder / "link")
    except OSError:
        return False
    return True


def _locks(folder: Path) -> bool:
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
