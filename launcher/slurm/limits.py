"""How many jobs a cluster takes: asked once for each command, since a rejected array costs everybody time."""

import os
import pwd
from dataclasses import dataclass
from functools import cache

from launcher.slurm.command import SlurmError, ask

DEFAULT_ARRAY = 1001
"""Slurm's default for MaxArraySize."""


@dataclass(frozen=True)
class Limits:
    """What one user may submit."""

    array: int
    """Tasks of one array."""
    jobs: int | None
    """Jobs in the queue at once; None: no limit that we can see."""


@cache
def settings() -> dict[str, str]:
    """The cluster's configuration; empty where the controller does not answer."""
    try:
        lines = ask(["scontrol", "show", "config"]).splitlines()
    except SlurmError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def limits(account: str | None, qos: str | None) -> Limits:
    """The limits that hold for jobs charged to `account` under `qos`."""
    told = settings()
    array = int(told.get("MaxArraySize", DEFAULT_ARRAY))
    enforced = {word.strip() for word in told.get("AccountingStorageEnforce", "none").lower().split(",")}
    if not enforced & {"limits", "safe", "qos", "all"}:
        return Limits(array, None)
    found = [*_of_association(account), *_of_qos(qos)]
    return Limits(array, min(found, default=None))


def _of_association(account: str | None) -> list[int]:
    wanted = [f"user={pwd.getpwuid(os.getuid()).pw_name}", *([f"account={account}"] if account else [])]
    return _numbers(["assoc", "where", *wanted, "format=MaxSubmitJobs,GrpSubmitJobs"])


def _of_qos(qos: str | None) -> list[int]:
    return _numbers(["qos", "where", f"name={qos}", "format=MaxSubmitJobsPU,GrpSubmitJobs"]) if qos else []


def _numbers(wanted: list[str]) -> list[int]:
    """Every number that sacctmgr shows; none where there is no accounting."""
    try:
        lines = ask(["sacctmgr", "--noheader", "--parsable2", "show", *wanted]).splitlines()
    except SlurmError:
        return []
    return [int(value) for line in lines for value in line.split("|") if value.isdecimal()]
