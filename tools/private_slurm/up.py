"""Bringing a private Slurm up: ports, keys, fake GPUs, and the daemons in the order they need each other."""

import getpass
import os
import secrets
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from private_slurm.cluster import PATH, Cluster
from private_slurm.conf import (
    Accounting,
    Options,
    Place,
    gres_conf,
    node_names,
    slurm_conf,
    slurmdbd_conf,
)
from private_slurm.processes import SlurmDevError

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo", "scancel")
NEEDED_FOR_DBD = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db", "mariadb")

PORTS = range(10_000, 20_000)
"""Below the ports that systems give to connections, so that a daemon's is still free when it comes back."""


def missing_programs(accounting: Accounting = "none") -> list[str]:
    """Programs that a cluster needs and this host lacks."""
    needed = (*NEEDED, *(NEEDED_FOR_DBD if accounting == "dbd" else ()))
    return [name for name in needed if shutil.which(name, path=PATH) is None]


def up(root: Path, options: Options | None = None) -> Cluster:
    """Bring a cluster up in a folder, anew if one has been there, and wait until every node is idle."""
    options = options or Options()
    if missing := missing_programs(options.accounting):
        raise SlurmDevError(f"not installed: {', '.join(missing)}")
    root = root.resolve()
    _clear(root)
    cluster = Cluster(root, options, _make_place(root, options), {})
    try:
        _write_files(cluster)
        _start(cluster)
    except BaseException:
        cluster.down()
        raise
    return cluster


def _clear(root: Path) -> None:
    """Remove what an earlier cluster left in its folder, and nothing else."""
    if (root / "cluster.json").exists():
        if root.stat().st_uid != os.getuid():
            raise SlurmDevError(f"{root} belongs to another user")
        earlier = Cluster.load(root)
        if running := [name for name, daemon in earlier.daemons.items() if daemon.runs]:
            raise SlurmDevError(
                f"{root}: {', '.join(running)} of an earlier cluster still runs; down it first"
            )
        for name in ("etc", "log", "state", "spool", "mysql"):
            shutil.rmtree(root / name, ignore_errors=True)
        (root / "cluster.json").unlink()
    elif root.exists() and any(root.iterdir()):
        raise SlurmDevError(f"{root} is not empty, and not a cluster's")


def _make_place(root: Path, options: Options) -> Place:
    for name in ("etc", "log", "state", "mysql", *(f"spool/{node}" for node in node_names(options))):
        (root / name).mkdir(parents=True)
    base = Path(tempfile.mkdtemp(prefix="segda-slurm-", dir="/tmp"))
    base.chmod(0o755)  # munged refuses a folder that others may not enter
    (base / "root").symlink_to(root)
    return Place(
        base=base,
        user=getpass.getuser(),
        host=socket.gethostname().partition(".")[0],
        address=_own_address(),
        ports=_free_ports(["slurmctld", "slurmdbd", "mariadbd", *node_names(options)]),
        gpus=_fake_gpus(base, options.gpus) if options.gpus else None,
        database_password=secrets.token_hex(16),
    )


def _own_address() -> str:
    try:
        address = socket.gethostbyname(socket.gethostname())
    except socket.gaierror:
        address = ""
    return address if address.startswith("127.") else "127.0.0.1"


def _free_ports(names: list[str]) -> dict[str, int]:
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        if port not in ports.values():
            ports[names[len(ports)]] = port
    return ports


def _fake_gpus(base: Path, count: int) -> str | None:
    """Slurm counts device files whose names end in digits; plain files give jobs no CUDA_VISIBLE_DEVICES."""
    try:
        for number in range(count):
            os.mknod(base / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:  # an ordinary user, or a container that may not
        terminals = [Path(f"/dev/tty{number}") for number in range(count)]
        return f"/dev/tty[0-{count - 1}]" if all(path.exists() for path in terminals) else None
    return f"{base}/gpu[0-{count - 1}]"


def _write_files(cluster: Cluster) -> None:
    etc, options, place = cluster.root / "etc", cluster.options, cluster.place
    (etc / "slurm.conf").write_text(slurm_conf(options, place))
    (etc / "gres.conf").write_text(gres_conf(options, place))
    _write_secret(place.base / "munge.key", secrets.token_bytes(128))
    if options.accounting == "dbd":
        _write_secret(etc / "slurmdbd.conf", slurmdbd_conf(place).encode())


def _write_secret(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(content)


def _start(cluster: Cluster) -> None:
    base = cluster.place.base
    munged = [f"--socket={cluster.place.munge_socket}", f"--key-file={base}/munge.key"]
    munged += [f"--pid-file={base}/munged.pid", f"--seed-file={base}/seed"]
    cluster.start("munged", ["munged", "--foreground", *munged], cluster.place.munge_socket.is_socket)
    if cluster.options.accounting == "dbd":
        _start_database(cluster)
        cluster.start(
            "slurmdbd",
            ["slurmdbd", "-D"],
            lambda: cluster.ask("sacctmgr", "--noheader", "show", "cluster").returncode == 0,
        )
        cluster.check("sacctmgr", "--immediate", "add", "cluster", "lab")
    cluster.start_controller()
    cluster.start_nodes(cluster.nodes)


def _start_database(cluster: Cluster) -> None:
    place, port = cluster.place, cluster.place.ports["mariadbd"]
    data, own_socket = place.root / "mysql", place.base / "mariadb.socket"
    cluster.check(
        "mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={place.user}", "--skip-test-db",
        "--auth-root-authentication-method=socket", f"--auth-root-socket-user={place.user}", timeout=120,
    )  # fmt: skip
    client = ["mariadb", "--no-defaults", f"--socket={own_socket}", f"--user={place.user}", "--execute"]
    server = [
        "mariadbd", "--no-defaults", f"--user={place.user}", f"--datadir={data}", f"--socket={own_socket}",
        f"--pid-file={place.base}/mariadb.pid", "--bind-address=127.0.0.1", f"--port={port}",
        "--skip-name-resolve", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
        "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0",
    ]  # fmt: skip
    cluster.start("mariadbd", server, lambda: cluster.ask(*client, "select 1", timeout=5).returncode == 0)
    cluster.check(
        *client,
        "create database slurm_acct_db; "
        f"create user slurm@127.0.0.1 identified by '{place.database_password}'; "
        "grant all on slurm_acct_db.* to slurm@127.0.0.1",
    )
