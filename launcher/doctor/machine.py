"""This host: processors, GPUs and the memory that loader processes share."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from launcher.doctor.ask import ask
from launcher.doctor.finding import Finding, Level, Scope
from launcher.executors.slots import visible_cores

SHARED_MEMORY = Path("/dev/shm")
LITTLE_SHARED_BYTES = 1e9
"""Batches of loader processes go through it; containers often have 64 MB."""

USED_SHARE = 0.1
"""Share of a GPU's memory in use from which it counts as taken."""

SMI = ("nvidia-smi", "--format=csv,noheader,nounits")
TORCH = """
import json, torch
print(json.dumps([torch.__version__, torch.version.cuda, torch.cuda.device_count()]))
"""
TORCH_PATIENCE_S = 50.0


def check_software(scope: Scope) -> Iterator[Finding]:
    """Python and the packages that run trials."""
    packages = {name: _installed(name) for name in ("torch", "ray", "submitit")}
    said = ", ".join(f"{name} {found or 'missing'}" for name, found in packages.items())
    message = f"Python {sys.version.split()[0]}, {said}"
    if all(packages.values()):
        yield Finding(Level.OK, message, facts=packages)
    else:
        yield Finding(Level.PROBLEM, message, "make setup, or pip install segda anew", packages)


def check_gpus(scope: Scope) -> Iterator[Finding]:
    """Each GPU and who uses it, and whether torch sees them."""
    listing = ask([*SMI, "--query-gpu=index,name,memory.total,memory.used"], patience=30)
    if not listing.installed:
        cores = len(visible_cores())
        yield Finding(
            Level.NOTE, f"no GPUs: trials run on {cores} CPU cores", facts={"gpus": 0, "cores": cores}
        )
        return
    if listing.fault:
        advice = "nvidia-smi must work first: restart the machine, or ask who looks after it"
        yield Finding(Level.PROBLEM, listing.fault, advice)
        return
    for line in listing.lines:
        yield _gpu(*(part.strip() for part in line.split(",", 3)))
    yield from _torch(len(listing.lines))


def _gpu(index: str, name: str, total: str, used: str) -> Finding:
    total_gb, used_gb = int(total) / 1024, int(used) / 1024
    facts = {"index": int(index), "name": name, "memory_mib": int(total), "used_mib": int(used)}
    message = f"GPU {index}, {name}: {used_gb:.1f} of {total_gb:.1f} GiB in use"
    if used_gb < USED_SHARE * total_gb:
        return Finding(Level.OK, message, facts=facts)
    advice = "nvidia-smi names the processes; CUDA_VISIBLE_DEVICES keeps trials off a GPU"
    return Finding(Level.WARNING, message, advice, facts)


def _torch(gpus: int) -> Iterator[Finding]:
    answer = ask([sys.executable, "-c", TORCH], patience=TORCH_PATIENCE_S)
    if answer.fault:
        yield Finding(Level.PROBLEM, f"torch cannot be loaded: {answer.fault}", "make setup")
        return
    torch, cuda, seen = json.loads(answer.lines[-1])
    facts = {"torch": torch, "cuda": cuda, "seen": seen}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if cuda is None:
        yield Finding(
            Level.PROBLEM, f"torch {torch} is built without CUDA", "install a build with CUDA", facts
        )
    elif seen == 0 and visible is None:
        yield Finding(Level.PROBLEM, f"torch {torch} (CUDA {cuda}) sees no GPU", "update the driver", facts)
    else:
        limited = f" (CUDA_VISIBLE_DEVICES={visible})" if visible is not None else ""
        yield Finding(
            Level.OK, f"torch {torch} (CUDA {cuda}) sees {seen} of {gpus} GPUs{limited}", facts=facts
        )


def check_shared_memory(scope: Scope) -> Iterator[Finding]:
    """The size of /dev/shm."""
    if not SHARED_MEMORY.is_dir():
        yield Finding(Level.WARNING, f"no {SHARED_MEMORY}", "loader processes need it; or set workers: 0")
        return
    usage = shutil.disk_usage(SHARED_MEMORY)
    facts = {"total_bytes": usage.total, "free_bytes": usage.free}
    message = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} in {SHARED_MEMORY}"
    if usage.free >= LITTLE_SHARED_BYTES:
        yield Finding(Level.OK, message, facts=facts)
    else:
        advice = (
            "loader processes die with `Bus error` when it is full: docker run --shm-size=8g, or workers: 0"
        )
        yield Finding(Level.WARNING, message, advice, facts)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
