"""Room on this host: GPUs and cores, each locked by one attempt at a time whichever launcher started it."""

import fcntl
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from segda_core.errors import ConfigError

SMI_PATIENCE_S = 60.0
"""Seconds in which nvidia-smi must have listed the GPUs; it takes long where the driver has to wake up."""

ON_CPUS = "to train on CPUs: CUDA_VISIBLE_DEVICES= segda …"

RUNTIME_VARIABLE = "SEGDA_RUNTIME_DIR"
"""Environment variable that moves the lock files; launchers share their locks only where it is equal."""

SLOTS = Path("/tmp/segda-slots")
"""Lock files of all users of this host: a GPU is one user's at a time too."""


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
    folder = runtime_folder() if RUNTIME_VARIABLE in os.environ else _shared_folder()
    held: list[tuple[str, int]] = []
    for name in names:
        if len(held) == count:
            break
        handle = _open(folder / f"{name}.lock")
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


def _shared_folder() -> Path:
    """Where every user may add a file and delete only their own; whoever made it lets the others in."""
    SLOTS.mkdir(exist_ok=True)
    if SLOTS.stat().st_uid == os.getuid():
        SLOTS.chmod(0o1777)
    return SLOTS


def _open(path: Path) -> int:
    """A lock file that any user may open, and so lock; whoever comes first makes it."""
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL)
            os.fchmod(handle, 0o644)
            return handle


def visible_gpus() -> list[str]:
    """UUIDs of the GPUs CUDA_VISIBLE_DEVICES leaves us, all where it is unset; found without torch.

    `ConfigError` where the driver fails or lists no such GPU: trials would crawl on CPU cores, unsaid.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    entries = [entry.strip() for entry in (visible or "").split(",")]
    chosen = [entry for entry in entries if entry not in ("", "-1")]
    if visible is not None and not chosen:
        return []
    uuids = _listed_gpus()
    if uuids is None:
        return []
    return list(uuids.values()) if visible is None else [_uuid(entry, uuids) for entry in chosen]


def _listed_gpus() -> dict[str, str] | None:
    """The driver's GPUs, index -> UUID; None where there is no driver."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],
            capture_output=True, text=True, check=False, timeout=SMI_PATIENCE_S,
        )  # fmt: skip
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired as error:
        fault = f"nvidia-smi has not answered for {SMI_PATIENCE_S:g} s, so the GPU driver hangs"
        raise ConfigError([f"{fault}; restart the machine, or, {ON_CPUS}"]) from error
    if done.returncode:
        said = " ".join(f"{done.stdout} {done.stderr}".split())
        fault = f"nvidia-smi fails with exit code {done.returncode}: {said}"
        raise ConfigError([f"{fault}; it must work first, a restart may help, or, {ON_CPUS}"])
    pairs = (line.split(", ") for line in done.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}  # else "No devices were found"


def visible_cores() -> list[str]:
    """Names of the CPU cores this process may use."""
    return [f"cpu-{core}" for core in sorted(os.sched_getaffinity(0))]


def _uuid(entry: str, uuids: dict[str, str]) -> str:
    """An entry of CUDA_VISIBLE_DEVICES, an index or the start of a UUID, as the whole UUID.

    Parts of a GPU (MIG) are not listed: a worker that does not see its own fails.
    """
    if entry in uuids:
        return uuids[entry]
    if entry.startswith("MIG-"):
        return entry
    found = next((uuid for uuid in uuids.values() if uuid.startswith(entry)), None)
    if found is None:
        listed = ", ".join(f"{index} ({uuid})" for index, uuid in uuids.items()) or "none"
        raise ConfigError([f"CUDA_VISIBLE_DEVICES: no GPU {entry!r}; nvidia-smi lists {listed}; {ON_CPUS}"])
    return found


def runtime_folder() -> Path:
    """One folder per user on this host, the same for every launcher whatever its TMPDIR or session."""
    folder = Path(os.environ.get(RUNTIME_VARIABLE, f"/tmp/segda-{os.getuid()}"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(
            f"{folder} belongs to another user; set {RUNTIME_VARIABLE} to a folder of your own"
        )
    return folder
