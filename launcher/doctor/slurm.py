"""Slurm: whether it answers, and which of its settings decide what becomes of trials."""

import getpass
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from launcher.doctor.ask import Answer, ask
from launcher.doctor.finding import Finding, Level, Scope
from launcher.slurm.command import environment
from launcher.slurm.limits import settings_in

USABLE = ("idle", "mixed", "allocated", "completing")
SHORT_KILL_WAIT_S = 20
ASSOCIATION = ("Account", "Partition", "MaxJobs", "MaxSubmitJobs", "GrpSubmitJobs")
"""Of the accounts jobs may be charged to, what sacctmgr is asked for."""

Settings = Mapping[str, str]


def check_slurm(scope: Scope) -> Iterator[Finding]:
    """Everything about the cluster that SLURM_CONF, or this host, names."""
    ping = _ask(["scontrol", "ping"])
    if not ping.installed:
        yield Finding(Level.NOTE, "not installed here (no scontrol): --executor slurm cannot be used")
    elif "configuration source" in ping.fault and "SLURM_CONF" not in os.environ:
        yield Finding(
            Level.NOTE, "installed, but no cluster is configured; make slurm-dev starts a private one"
        )
    elif ping.fault or "UP" not in ping.output:
        where = os.environ.get("SLURM_CONF", "/etc/slurm/slurm.conf")
        advice = f"its configuration is {where}; jobs that run go on, and segda waits for the controller"
        said = next((line for line in ping.lines if "DOWN" in line), ping.fault)
        yield Finding(Level.PROBLEM, f"the controller does not answer: {said}", advice)
    else:
        yield from _cluster()


def _cluster() -> Iterator[Finding]:
    answer = _ask(["scontrol", "show", "config"])
    if answer.fault:
        yield Finding(Level.PROBLEM, answer.fault)
        return
    settings = settings_in(answer.output)
    partitions = [dict(_words(line)) for line in _ask(["scontrol", "--oneliner", "show", "partition"]).lines]
    yield _nodes(settings)
    gpus = _gpus()
    for partition in partitions:
        yield _partition(partition, gpus)
    yield _limits(settings)
    yield _accounting(settings)
    yield from _preemption(settings, partitions)
    yield _endings(settings)


def _ask(command: Sequence[str]) -> Answer:
    """As segda asks: what a surrounding job, or a shell's options, would change is left out."""
    return ask(command, environment=environment())


def _words(line: str) -> list[tuple[str, str]]:
    """`Name=value` pairs of one line."""
    return re.findall(r"(\w+)=(\S*)", line)


def _nodes(settings: Settings) -> Finding:
    lines = _ask(["sinfo", "--noheader", "--Node", "--format", "%N %T"]).lines
    found = Counter(line.split()[-1] for line in set(lines))  # a node has a line for each of its partitions
    usable = sum(count for state, count in found.items() if state in USABLE)
    version, name = settings.get("SLURM_VERSION"), settings.get("ClusterName")
    facts = {"version": version, "cluster": name, "nodes": dict(found)}
    message = f"version {version}, cluster {name}: {usable} of {found.total()} nodes usable"
    if usable == found.total() > 0:
        return Finding(Level.OK, message, facts=facts)
    return Finding(Level.WARNING if usable else Level.PROBLEM, message, "sinfo -R says why", facts)


def _gpus() -> dict[str, int]:
    """Partition -> GPUs of its nodes."""
    counts: Counter[str] = Counter()
    for line in _ask(["sinfo", "--noheader", "--format", "%R|%D|%G"]).lines:
        partition, nodes, devices = line.split("|", 2)
        each = sum(int(count) for count in re.findall(r"gpu:(?:[^:,()]+:)?(\d+)", devices))
        counts[partition] += int(nodes) * each
    return dict(counts)


def _partition(told: Mapping[str, str], gpus: Mapping[str, int]) -> Finding:
    name = told["PartitionName"]
    facts = {
        "nodes": int(told["TotalNodes"]),
        "cpus": int(told["TotalCPUs"]),
        "gpus": gpus.get(name, 0),
        "max_time": told["MaxTime"],
        "preempt_mode": told["PreemptMode"],
        "grace_time": int(told["GraceTime"]),
    }
    said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items())
    message = f"partition {name}{' (default)' if told['Default'] == 'YES' else ''}: {said}"
    facts = {"partition": name, "state": told["State"], **facts}
    if told["State"] == "UP":
        return Finding(Level.OK, message, facts=facts)
    return Finding(Level.WARNING, f"{message}: {told['State']}", "jobs there wait until it is UP", facts)


def _limits(settings: Settings) -> Finding:
    """Numbers beyond which sbatch refuses: segda submits less at once, and the rest later."""
    tasks, jobs = _number(settings, "MaxArraySize"), _number(settings, "MaxJobCount")
    enforced = settings.get("AccountingStorageEnforce", "none")
    facts = {"max_array_size": tasks, "max_job_count": jobs, "enforced": enforced}
    message = f"array indices below {tasks}, at most {jobs} jobs in the cluster"
    if not {"limits", "safe"} & set(enforced.lower().split(",")):
        return Finding(Level.OK, message, facts=facts)
    wanted = ["assoc", "where", f"user={getpass.getuser()}", f"format={','.join(ASSOCIATION)}"]
    own = _ask(["sacctmgr", "--noheader", "--parsable2", "show", *wanted]).lines
    rows = [dict(zip(ASSOCIATION, line.split("|"), strict=False)) for line in own]
    facts["associations"] = rows
    if not rows:
        advice = "have your account added with sacctmgr"
        return Finding(
            Level.PROBLEM, f"{message}; you have no account, so sbatch refuses jobs", advice, facts
        )
    said = "; ".join(", ".join(f"{key} {value}" for key, value in row.items() if value) for row in rows)
    return Finding(Level.OK, f"{message}; yours: {said}", facts=facts)


def _accounting(settings: Settings) -> Finding:
    storage, completion = settings.get("AccountingStorageType", ""), settings.get("JobCompType", "")
    facts = {"accounting": storage, "job_completion": completion}
    if storage.endswith("slurmdbd"):
        answer = _ask(["sacct", "--noheader", "--allocations", "--starttime=now-1minutes"])
        if not answer.fault:
            return Finding(Level.OK, "accounting by slurmdbd answers", facts=facts)
        advice = "until it does, how a job ended is read from its own files and from squeue"
        return Finding(
            Level.WARNING, f"accounting by slurmdbd does not answer: {answer.fault}", advice, facts
        )
    if completion.endswith("filetxt"):
        place = settings["JobCompLoc"]
        if os.access(Path(place), os.R_OK):
            return Finding(Level.OK, f"no slurmdbd; ended jobs are told by {place}", facts=facts)
    age = _number(settings, "MinJobAge")
    message = (
        f"no accounting: Slurm knows an ended job for {age} s; a trial whose job vanished is submitted again"
    )
    return Finding(Level.NOTE, message, facts={**facts, "min_job_age": age})


def _preemption(settings: Settings, partitions: list[dict[str, str]]) -> Iterator[Finding]:
    kind = settings.get("PreemptType", "preempt/none")
    signals = "preempt_send_user_signal" in settings.get("SlurmctldParameters", "")
    facts = {"type": kind, "sends_user_signal": signals}
    if kind == "preempt/none":
        yield Finding(Level.OK, "jobs are never preempted", facts=facts)
        return
    lossy = [each["PartitionName"] for each in partitions if _preempts(each) and int(each["GraceTime"]) == 0]
    said = "with a signal before" if signals else "without preempt_send_user_signal"
    yield Finding(Level.OK, f"preemption by {kind.removeprefix('preempt/')}, {said}", facts=facts)
    if lossy:
        yield Finding(
            Level.NOTE,
            f"no grace time in {', '.join(lossy)}: preempted trials may lose the steps since a checkpoint",
            "checkpoint.every says how many that are",
            {"partitions": lossy},
        )


def _preempts(partition: Mapping[str, str]) -> bool:
    return partition["PreemptMode"] not in ("OFF", "")


def _endings(settings: Settings) -> Finding:
    wait, requeues = _number(settings, "KillWait"), settings.get("JobRequeue") == "1"
    facts = {"kill_wait": wait, "job_requeue": requeues, "slurmd_timeout": _number(settings, "SlurmdTimeout")}
    message = f"KillWait {wait} s, jobs of a lost node are {'' if requeues else 'not '}requeued by default"
    if wait >= SHORT_KILL_WAIT_S:
        return Finding(Level.OK, message, facts=facts)
    return Finding(Level.NOTE, f"{message}: a cancelled trial must save within {wait} s", facts=facts)


def _number(settings: Settings, name: str) -> int:
    """The number a setting begins with, as in `30 sec`."""
    found = re.match(r"\d+", settings.get(name, ""))
    return int(found[0]) if found else 0
