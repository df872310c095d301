"""The configuration files of a private Slurm on one host: options and ports in, text out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Accounting = Literal["none", "dbd", "jobcomp"]

CPUS_PER_NODE = 8
MEGABYTES_PER_NODE = 8000


@dataclass(frozen=True)
class Options:
    """What a cluster is to be like; times in seconds, short so that tests of faults are."""

    nodes: int = 3
    accounting: Accounting = "none"
    """`none`; `dbd`: slurmdbd with a MariaDB of its own; `jobcomp`: a line for each ended job in a file."""
    kill_wait: int = 5
    """From TERM to KILL at a job's time limit or cancellation."""
    slurmd_timeout: int = 6
    """Until a silent node is down and its jobs are requeued."""
    cred_expire: int = 5
    """Until a requeued job may start again (Slurm waits for the credential of the first start to expire)."""
    min_job_age: int = 300
    """Until an ended job is forgotten by the controller."""
    grace: int = 5
    """Between the signal and the requeue of a preempted job in partition `low`."""
    max_array_size: int = 1001
    """Array indices are below it."""
    gpus: int = 0
    """Fake ones on each node: Slurm counts them and gives them to jobs, but no torch can use them."""
    machines: bool = False
    """Nodes look like machines of their own: host name, process ids, boot id and /dev/shm. Needs root."""
    conf: Mapping[str, str] = field(default_factory=dict)
    """Further settings of slurm.conf, or other values for these."""


@dataclass(frozen=True)
class Place:
    """Where one cluster lives: a folder by a short path without special characters, an address and ports.

    Slurm's files know no escapes, and a socket's path has at most 107 characters; so the configuration names
    everything through `base`, a folder in /tmp whose `root` is a link to the cluster's real folder.
    """

    base: Path
    user: str
    host: str
    address: str
    """Where the host's own name leads if that is loopback, so that nothing listens on other addresses."""
    ports: Mapping[str, int]
    """By `slurmctld`, `slurmdbd`, `mariadbd` and node."""
    gpus: str | None
    """Device files that stand for GPUs, as Slurm writes lists; None: the nodes have none."""
    database_password: str

    @property
    def root(self) -> Path:
        """The cluster's folder, by the link."""
        return self.base / "root"

    @property
    def munge_socket(self) -> Path:
        """Where this cluster's munged listens."""
        return self.base / "munge.socket"


def node_names(options: Options) -> list[str]:
    """Nodes are called as addresses of the loopback, which resolve everywhere without an entry in /etc/hosts.

    A job that takes the first name of its node list as address to meet at (torchrun) finds this host there.
    """
    return [f"127.0.0.{10 + number}" for number in range(1, options.nodes + 1)]


def slurm_conf(options: Options, place: Place) -> str:
    """slurm.conf."""
    machines = {"CommunicationParameters": "NoCtldInAddrAny"} if options.machines else {}
    settings = {
        **_daemons(place), **_scheduling(options), **_accounting(options, place), **machines, **options.conf
    }  # fmt: skip
    settings["AuthInfo"] = f"socket={place.munge_socket},cred_expire={options.cred_expire}"
    gres = f" Gres=gpu:{options.gpus}" if place.gpus else ""
    nodes = [
        f"NodeName={name} NodeAddr={name if options.machines else place.address}"
        f" NodeHostname={place.host} Port={place.ports[name]}"
        f" CPUs={CPUS_PER_NODE} RealMemory={MEGABYTES_PER_NODE}{gres} State=UNKNOWN"
        for name in node_names(options)
    ]
    partitions = [
        "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP",
        "PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=20 PreemptMode=OFF State=UP",
        "PartitionName=low Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE"
        f" GraceTime={options.grace} State=UP",
        "PartitionName=abrupt Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE"
        " GraceTime=0 State=UP",
    ]
    return "\n".join([*(f"{key}={value}" for key, value in settings.items()), *nodes, *partitions, ""])


def gres_conf(options: Options, place: Place) -> str:
    """gres.conf."""
    if place.gpus is None:
        return ""
    return "".join(f"NodeName={name} Name=gpu File={place.gpus}\n" for name in node_names(options))


def slurmdbd_conf(place: Place) -> str:
    """slurmdbd.conf."""
    settings = {
        "DbdHost": place.host,
        "DbdAddr": place.address,
        "DbdPort": place.ports["slurmdbd"],
        "SlurmUser": place.user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={place.munge_socket}",
        "LogFile": place.root / "log" / "slurmdbd.log",
        "PidFile": place.base / "slurmdbd.pid",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "127.0.0.1",
        "StoragePort": place.ports["mariadbd"],
        "StorageUser": "slurm",
        "StoragePass": place.database_password,
        "StorageLoc": "slurm_acct_db",
        "CommitDelay": 0,
        **({"CommunicationParameters": "NoInAddrAny"} if place.address.startswith("127.") else {}),
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _daemons(place: Place) -> dict[str, object]:
    return {
        "ClusterName": "lab",
        "SlurmctldHost": f"{place.host}({place.address})",
        "SlurmctldPort": place.ports["slurmctld"],
        "SlurmUser": place.user,
        "SlurmdUser": place.user,
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "StateSaveLocation": place.root / "state",
        "SlurmdSpoolDir": place.root / "spool" / "%n",
        "SlurmctldPidFile": place.base / "slurmctld.pid",
        "SlurmdPidFile": place.base / "slurmd-%n.pid",
        "SlurmctldLogFile": place.root / "log" / "slurmctld.log",
        "SlurmdLogFile": place.root / "log" / "slurmd-%n.log",
        # Job ids of two clusters on one host differ, and with them what jobs derive from theirs (ports).
        "FirstJobId": place.ports["slurmctld"],
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "SwitchType": "switch/none",
        "SlurmdParameters": "config_overrides",  # nodes may claim more processors than the host has
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "task=2",
    }


def _scheduling(options: Options) -> dict[str, object]:
    return {
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "DefMemPerCPU": 100,
        "GresTypes": "gpu",
        "SlurmctldParameters": "preempt_send_user_signal",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0",
        "SlurmdTimeout": options.slurmd_timeout,
        "SlurmctldTimeout": 10,
        "MessageTimeout": 5,
        "KillWait": options.kill_wait,
        "MinJobAge": options.min_job_age,
        "InactiveLimit": 0,
        "ReturnToService": 2,
        "MaxArraySize": options.max_array_size,
    }


def _accounting(options: Options, place: Place) -> dict[str, object]:
    if options.accounting == "dbd":
        return {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": place.address,
            "AccountingStoragePort": place.ports["slurmdbd"],
            "AccountingStoragePass": place.munge_socket,  # without it clients ask the host's own munge
            "AccountingStorageTRES": "gres/gpu",
            "JobCompType": "jobcomp/none",
        }
    storage: dict[str, object] = {"AccountingStorageType": "accounting_storage/none"}
    if options.accounting == "jobcomp":
        jobs = place.root / "log" / "jobcomp.txt"
        return {**storage, "JobCompType": "jobcomp/filetxt", "JobCompLoc": jobs}
    return {**storage, "JobCompType": "jobcomp/none"}
