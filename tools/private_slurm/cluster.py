"""A private Slurm that was brought up: its daemons and nodes, one by one, and its programs."""

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from private_slurm import processes
from private_slurm.conf import Options, Place, node_names
from private_slurm.processes import Process, SlurmDevError

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
MARK = "SEGDA_SLURM_DEV"
"""Environment variable of a node's daemon, and of the job steps that it starts: root and node."""

MACHINE = """
mount --make-rprivate /
hostname "$1"
cat /proc/sys/kernel/random/uuid > "$2/boot_id"
mount --bind "$2/boot_id" /proc/sys/kernel/random/boot_id
mount -t tmpfs tmpfs /dev/shm
shift 2
"$@" &
wait
"""
"""What makes a node look like a machine of its own (shell, in namespaces): its name, a folder, its daemon."""

UP_S = 60.0
"""Seconds within which a daemon has to answer."""


@dataclass
class Cluster:
    """A cluster by its folder; what its daemons are is in `cluster.json` there."""

    root: Path
    options: Options
    place: Place
    daemons: dict[str, Process]

    @classmethod
    def load(cls, root: Path) -> "Cluster":
        """The cluster that was brought up in a folder."""
        try:
            raw = json.loads((root / "cluster.json").read_text())
        except FileNotFoundError as error:
            raise SlurmDevError(f"no cluster was brought up in {root}") from error
        place = Place(**{**raw["place"], "base": Path(raw["place"]["base"])})
        daemons = {name: Process(**daemon) for name, daemon in raw["daemons"].items()}
        return cls(root.resolve(), Options(**raw["options"]), place, daemons)

    @property
    def conf(self) -> Path:
        """What SLURM_CONF has to be."""
        return self.root / "etc" / "slurm.conf"

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes."""
        return node_names(self.options)

    @property
    def environment(self) -> dict[str, str]:
        """The environment for its programs: nothing of another Slurm, as of a job this runs in."""
        other = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SINFO_", "SACCT_")
        own = {key: value for key, value in os.environ.items() if not key.startswith(other)}
        return {**own, "PATH": PATH, "SLURM_CONF": str(self.conf)}

    @property
    def runs(self) -> bool:
        """Whether its controller answers."""
        return self.ask("scontrol", "ping").returncode == 0

    def ask(self, *command: str, timeout: float = 30) -> "subprocess.CompletedProcess[str]":
        """Run a program against the cluster; one that hangs counts as failed."""
        try:
            return subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=timeout,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no answer within {timeout:.0f} s")

    def check(self, *command: str, timeout: float = 30) -> str:
        """Output of a program against the cluster, which has to succeed."""
        done = self.ask(*command, timeout=timeout)
        if done.returncode:
            raise SlurmDevError(f"{shlex.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def down(self) -> None:
        """Cancel the jobs and end the daemons, and whatever of a job outlived its node."""
        if self.runs:
            self.ask("scancel", "--user", self.place.user, timeout=10)
            processes.poll(
                lambda: not self.ask("squeue", "--noheader").stdout.strip(), self.options.kill_wait + 10
            )
        nodes = [name for name in self.daemons if name in self.nodes]
        for name in (*nodes, "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self._end(name, signal.SIGTERM)
        processes.kill_all(lambda: [each for node in self.nodes for each in self._jobs_of(node)])
        shutil.rmtree(self.place.base, ignore_errors=True)

    def start_controller(self) -> None:
        """Start slurmctld, and wait until it answers."""
        self.start("slurmctld", ["slurmctld", "-D"], lambda: self.runs)

    def stop_controller(self) -> None:
        """End slurmctld in order: it saves its state."""
        self._end("slurmctld", signal.SIGTERM)

    def kill_controller(self) -> None:
        """kill -9 slurmctld."""
        self._end("slurmctld", signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Start a node's slurmd, and wait until the controller counts on it again."""
        self.start_nodes([node])

    def stop_node(self, node: str) -> None:
        """End a node's slurmd in order; its jobs go on."""
        self._end(node, signal.SIGTERM)

    def kill_node(self, node: str, with_jobs: bool = False) -> None:
        """kill -9 a node's slurmd: its jobs go on unseen. With them, it is as if its power failed."""
        self._end(node, signal.SIGKILL)
        if with_jobs:
            processes.kill_all(lambda: self._jobs_of(node))

    def start_nodes(self, nodes: list[str]) -> None:
        """Start several nodes at once."""
        for node in nodes:
            self.start(node, self._slurmd(node), None, {MARK: f"{self.root} {node}"})
        listed = ",".join(nodes)

        def ready() -> bool:
            states = self.ask("sinfo", "--noheader", "--Node", "--nodes", listed, "--format", "%N %T").stdout
            found = dict(line.split() for line in states.splitlines())
            down = [node for node, state in found.items() if state.startswith(("down", "drain"))]
            if down:
                self.ask("scontrol", "update", f"nodename={','.join(down)}", "state=resume")
            return len(found) == len(nodes) and all(
                state in ("idle", "mixed", "allocated", "completing") for state in found.values()
            )

        self._wait(ready, *nodes)

    def _slurmd(self, node: str) -> list[str]:
        """The command of its daemon; that of a machine of its own takes all its jobs along when it ends."""
        daemon = ["slurmd", "-D", "-N", node]
        if not self.options.machines:
            return daemon
        spaces = ["--uts", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        return [
            "unshare",
            *spaces,
            "sh",
            "-ec",
            MACHINE,
            "machine",
            node,
            str(self.root / "spool" / node),
            *daemon,
        ]

    def _jobs_of(self, node: str) -> list[Process]:
        """Steps of a node and their tasks, without its daemon."""
        steps = processes.with_environment([f"{MARK}={self.root} {node}"])
        tasks = processes.with_environment([f"SLURM_CONF={self.conf}", f"SLURMD_NODENAME={node}"])
        return [process for process in (*steps, *tasks) if process != self.daemons.get(node)]

    def start(
        self,
        name: str,
        command: Sequence[str],
        answers: Callable[[], object] | None,
        more_environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a daemon in the foreground, and wait until it answers."""
        if name in self.daemons and self.daemons[name].runs:
            raise SlurmDevError(f"{name} runs already")
        program = shutil.which(command[0], path=PATH)
        if program is None:
            raise SlurmDevError(f"{command[0]} is not installed")
        environment = {**self.environment, **(more_environment or {})}
        self.daemons[name] = processes.start([program, *command[1:]], environment, self._output(name))
        self._write()
        if answers is not None:
            self._wait(answers, name)

    def _wait(self, answers: Callable[[], object], *names: str) -> None:
        """Until daemons answer; at once an error where one of them has ended."""

        def settled() -> bool:
            return bool(answers()) or not all(self.daemons[name].runs for name in names)

        ended = processes.poll(settled, UP_S) and [name for name in names if not self.daemons[name].runs]
        if ended or not answers():
            logs = "\n".join(
                f"{path}:\n{processes.tail(path)}" for name in ended or names for path in self._logs(name)
            )
            raise SlurmDevError(f"{', '.join(ended or names)}: {'ended' if ended else 'no answer'}\n{logs}")

    def _end(self, name: str, signum: signal.Signals) -> None:
        if name in self.daemons:
            processes.stop(self.daemons.pop(name), signum)
            self._write()

    def _output(self, name: str) -> Path:
        return self.root / "log" / f"{name}.out"

    def _logs(self, name: str) -> list[Path]:
        names = (f"{name}.out", f"{name}.log", f"slurmd-{name}.log")
        return [path for path in (self.root / "log" / each for each in names) if path.exists()]

    def _write(self) -> None:
        content = {"options": asdict(self.options), "place": asdict(self.place)}
        daemons = {name: asdict(daemon) for name, daemon in self.daemons.items()}
        temporary = self.root / "cluster.json.new"
        temporary.write_text(json.dumps({**content, "daemons": daemons}, indent=1, default=str))
        temporary.replace(self.root / "cluster.json")
