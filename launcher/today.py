"""What finished trials are compared with: the images as they are now, and the code that is checked out."""

import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from launcher.code import current_commit
from launcher.find import trial_directories
from launcher.leaderboard import Today
from launcher.manifest import read_manifests
from launcher.prepare import read_config
from launcher.trial import Trial
from segda_core.errors import ConfigError
from segda_core.layout import TrialFiles

IMAGES = re.compile(r"^(?:task|data|source|target|method|evaluation):.*\n(?:(?!\w).*\n)*", re.MULTILINE)
"""The parts of a config.yaml that decide which images a trial opens."""

TRIED = 3
"""Trials of the same images of which one must be readable, or their images are not looked up."""


def read_today(sweeps: Iterable[Path]) -> Today:
    """For the finished trials of some sweeps; images that are not on this machine are left out.

    Of trials whose files choose the same images one is parsed: parsing thousands would take too long.
    """
    alike: dict[str, list[TrialFiles]] = defaultdict(list)
    for sweep in sweeps:
        for files in trial_directories(sweep):
            if files.metrics.exists():
                alike["".join(IMAGES.findall(_text(files.config)))].append(files)
    parsed = {text: trial for text, found in alike.items() if (trial := _one_of(found)) is not None}
    manifests = read_manifests(parsed.values())
    hashes = {
        files.root.name: manifests[trial.id].hash for text, trial in parsed.items() for files in alike[text]
    }
    return Today({trial_id: found for trial_id, found in hashes.items() if found}, current_commit())


def _text(config: Path) -> str:
    return config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""


def _one_of(same: list[TrialFiles]) -> Trial | None:
    """One of some trials with the same images; None where the first few cannot be read."""
    for files in same[:TRIED]:
        with suppress(ConfigError):  # missing, broken or of another version
            return Trial(files.root.parent.name, read_config(files))
    return None
