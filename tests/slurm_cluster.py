"""A private Slurm for tests: real daemons on loopback, started once, with every job gone after each test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from private_slurm.cluster import Cluster
from private_slurm.conf import Options
from private_slurm.processes import poll, tail
from private_slurm.up import missing_programs, up


def needs_slurm(accounting: str = "none") -> None:
    """Skip the test where a cluster cannot be brought up."""
    if missing := missing_programs(accounting):
        pytest.skip(
            f"SLURM IS NOT INSTALLED: no {', '.join(missing)}; run tools/debian_packages.py slurm as root"
        )


@contextmanager
def slurm_cluster(root: Path, **options: object) -> Iterator[Cluster]:
    """A cluster of one's own, as `slurm_cluster(tmp_path / "slurm", accounting="dbd", grace=0)`.

    SLURM_CONF names it as long as it runs. Fake GPUs, partitions: see `tools/slurm_dev.py`.
    """
    with running_cluster(root, **options) as cluster, named(cluster):
        yield cluster


@contextmanager
def running_cluster(root: Path, **options: object) -> Iterator[Cluster]:
    """One that no variable names yet, so that several may be at work; its logs are shown with a failure."""
    chosen = Options(**options)
    needs_slurm(chosen.accounting)
    cluster = up(root, chosen)
    try:
        yield cluster
    except BaseException:
        for path in sorted(root.glob("log/slurm*.log")):
            print(f"{path.name}:\n{tail(path, 40)}")
        raise
    finally:
        cluster.down()


@contextmanager
def named(cluster: Cluster) -> Iterator[None]:
    """Have everything started meanwhile find this cluster."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
            patch.delenv(name)
        patch.setenv("SLURM_CONF", str(cluster.conf))
        patch.setenv("PATH", cluster.environment["PATH"])
        yield


def settle(cluster: Cluster) -> None:
    """Cancel what is left, and bring back what a test took down."""
    if not cluster.daemons.get("slurmctld") or not cluster.daemons["slurmctld"].runs:
        cluster.start_controller()
    cluster.check("scancel", "--user", cluster.place.user)
    if missing := [node for node in cluster.nodes if not _runs(cluster, node)]:
        cluster.start_nodes(missing)
    assert poll(lambda: _is_idle(cluster), cluster.options.kill_wait + 30), cluster.check(
        "squeue", "--states=all"
    )


def _runs(cluster: Cluster, node: str) -> bool:
    return node in cluster.daemons and cluster.daemons[node].runs


def _is_idle(cluster: Cluster) -> bool:
    states = cluster.check("sinfo", "--noheader", "--Node", "--format", "%T").split()
    return set(states) == {"idle"} and not cluster.check("squeue", "--noheader").strip()
