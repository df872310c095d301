#!/usr/bin/env python3
"""Installs the Debian packages that some tests need, where it may; says loudly what is left out otherwise.

    debian_packages.py slurm|browser...

Never fails: tests whose programs are missing skip with a reason. No service is started by an installation.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from private_slurm.cluster import PATH

PACKAGES = {
    "slurm": {
        "slurmctld": "slurmctld",
        "slurmd": "slurmd",
        "sbatch": "slurm-client",
        "munged": "munge",
        "slurmdbd": "slurmdbd",
        "mariadbd": "mariadb-server",
    },
    "browser": {"chromium": "chromium", "chromedriver": "chromium-driver"},
}
"""Purpose -> program -> the package that has it."""

POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's scripts ask it before they start a service; 101 forbids it."""

APT_OPTIONS = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1", "-o", "DPkg::Lock::Timeout=120")
APT_S = 600


def main() -> None:
    """Install what is missing for the purposes named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("purposes", nargs="+", choices=sorted(PACKAGES), metavar="|".join(PACKAGES))
    wanted = {purpose: missing(purpose) for purpose in parser.parse_args().purposes}
    if any(wanted.values()) and may_install():
        _apt("update")
        for packages in filter(None, wanted.values()):
            _install(packages)
    for purpose in wanted:
        if left := missing(purpose):
            print(f"\n*** NOT INSTALLED, what needs it is skipped ({purpose}). As root:", file=sys.stderr)
            print(f"***   apt-get install --no-install-recommends {' '.join(left)}\n", file=sys.stderr)


def missing(purpose: str) -> list[str]:
    """Packages for a purpose whose programs are not on this host."""
    programs = PACKAGES[purpose].items()
    return [package for program, package in programs if shutil.which(program, path=PATH) is None]


def may_install() -> bool:
    """Whether this is root on a system with apt-get."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(packages: list[str]) -> None:
    print(f"installing {' '.join(packages)} ...", file=sys.stderr)
    with _no_services():
        _apt("install", "--yes", "--no-install-recommends", *packages)


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep installations from starting services, unless the system has a policy of its own."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _apt(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            ["apt-get", "--quiet", *APT_OPTIONS, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=APT_S,
        )
    except subprocess.TimeoutExpired:
        print(f"apt-get {words[0]}: no end within {APT_S} s", file=sys.stderr)
        return
    if done.returncode:
        print(f"apt-get {words[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}", file=sys.stderr)


if __name__ == "__main__":
    main()
