"""How many jobs a cluster takes: asked once for each command, since a rejected array costs everybody time."""

import os
import pwd
import re
import time
from dataclasses import dataclass
from functools import cache

from launcher.slurm.command import SlurmError, ask

DEFAULT_ARRAY = 1001
"""Slurm's default for MaxArraySize."""

KEEP_S = 15.0
"""Seconds that an answer, or that there was none, is used for, since it came."""


@dataclass(frozen=True)
class Limits:
    """What one user may submit."""

    array: int
    """Tasks of one array."""
    jobs: int | None
    """Jobs in the queue at once; None: no limit that we can see."""


class Configuration:
    """The cluster's, as its controller last told it."""

    def __init__(self) -> None:
        self._settings: dict[str, str] = {}
        self._until = 0.0

    def settings(self) -> dict[str, str]:
        """By name; empty where the controller does not answer, which may take it `TIMEOUT_S` to show."""
        if time.monotonic() >= self._until:
            self._settings = _ask_scontrol()
            self._until = time.monotonic() + KEEP_S
        return self._settings


@cache
def configuration() -> Configuration:
    """The one of this process."""
    return Configuration()


def _ask_scontrol() -> dict[str, str]:
    try:
        return settings_in(ask(["scontrol", "show", "config"]))
    except SlurmError:
        return {}


def settings_in(told: str) -> dict[str, str]:
    """By name, out of what `scontrol show config` prints."""
    pairs = (line.partition("=") for line in told.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def limits(account: str | None, qos: str | None) -> Limits | None:
    """The limits that hold for jobs charged to `account` under `qos`; None while the controller is silent."""
    told = configuration().settings()
    if not told:
        return None
    tasks = re.findall(r"\bmax_array_tasks=(\d+)", told.get("SchedulerParameters", ""))
    array = min(map(int, [told.get("MaxArraySize", DEFAULT_ARRAY), *tasks]))
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
