"""Room on this host: GPUs and cores, each locked by one attempt at a time whichever launcher started it."""

import fcntl
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

RUNTIME_VARIABLE = "SEGDA_RUNTIME_DIR"
"""Environment variable that moves the lock files; launchers share their locks only where it is equal."""


@dataclass(frozen=True)
class Places:
    """Some of this host's GPUs or cores, locked until every process that holds the files has closed them."""

    names: tuple[str, ...]
    handles: tuple[int, ...]
    """Open lock files; the kernel unlocks each when its last copy closes, so a kill leaves nothing locked."""

    def release(self) -> None:
        """Unlock, unless a runner that inherited the files still lives."""
        for handle in self.handles:
            os.close(handle)


def lock_places(names: list[str], count: int) -> Places | None:
    """Lock `count` of the named places, all or none; None while too few are free."""
    folder = runtime_folder()
    held: list[tuple[str, int]] = []
    for name in names:
        if len(held) == count:
            break
        handle = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            held.append((name, handle))
    places = Places(tuple(name for name, _ in held), tuple(handle for _, handle in held))
    if len(held) < count:
        places.release()
        return None
    return places


def visible_gpus() -> list[str]:
    """UUIDs of the GPUs CUDA_VISIBLE_DEVICES leaves us, all where it is unset; found without torch."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    uuids = dict(line.split(", ") for line in listing.strip().splitlines())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(uuids.values())
    return [_uuid(entry.strip(), uuids) for entry in visible.split(",") if entry.strip() not in ("", "-1")]


def visible_cores() -> list[str]:
    """Names of the CPU cores this process may use."""
    return [f"cpu-{core}" for core in sorted(os.sched_getaffinity(0))]


def _uuid(entry: str, uuids: dict[str, str]) -> str:
    """An entry of CUDA_VISIBLE_DEVICES, an index or the start of a UUID, as the whole UUID."""
    if entry in uuids:
        return uuids[entry]
    return next((uuid for uuid in uuids.values() if uuid.startswith(entry)), entry)


def runtime_folder() -> Path:
    """One folder per user on this host, the same for every launcher whatever its TMPDIR or session."""
    folder = Path(os.environ.get(RUNTIME_VARIABLE, f"/tmp/segda-{os.getuid()}"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(
            f"{folder} belongs to another user; set {RUNTIME_VARIABLE} to a folder of your own"
        )
    return folder
