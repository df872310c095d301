"""What finished trials are compared with: the images as they are now, and the code that is checked out."""

from collections.abc import Iterable
from pathlib import Path

from launcher.code import current_commit
from launcher.find import read_trial, trial_directories
from launcher.leaderboard import Today
from launcher.manifest import read_manifests

MOST = 500
"""Finished trials whose images are looked up; of more, reading the configurations alone takes too long."""


def read_today(sweeps: Iterable[Path]) -> Today:
    """For the finished trials of some sweeps; images that are not on this machine are left out."""
    directories = [files for sweep in sweeps for files in trial_directories(sweep) if files.metrics.exists()]
    trials = [read_trial(files) for files in directories] if len(directories) <= MOST else []
    hashes = {trial_id: manifest.hash for trial_id, manifest in read_manifests(trials).items()}
    return Today({trial_id: found for trial_id, found in hashes.items() if found}, current_commit())
