"""What finished trials are compared with: the images as they are now, and the code that is checked out."""

import re
from collections import defaultdict
from collections.abc import Container, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from launcher.launching.manifest import read_manifests
from launcher.leaderboard import Today
from launcher.trial import Trial
from launcher.trials.find import trial_names
from launcher.trials.prepare import read_config
from segda_core.checkout import current_commit
from segda_core.errors import ConfigError
from segda_core.trials.layout import TrialFiles

IMAGES = re.compile(r"^(?:task|data|source|target|method|evaluation):.*\n(?:(?!\w).*\n)*", re.MULTILINE)
"""The parts of a config.yaml that decide which images a trial opens."""

TRIED = 3
"""Trials of the same images of which one must be readable, or their images are not looked up."""


def read_today(sweeps: Iterable[Path], but: Container[str] = ()) -> Today:
    """For the finished trials of some sweeps, `but` some; images that are not on this machine are left out.

    Of trials whose files choose the same images one is parsed: parsing thousands would take too long.
    """
    alike: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for sweep in sweeps:
        for name in trial_names(sweep, "metrics.json"):
            if name in but:
                continue
            alike[_images(_without_seed(_text(f"{sweep}/{name}/config.yaml")))].append((sweep, name))
    parsed = {text: trial for text, found in alike.items() if (trial := _one_of(found)) is not None}
    manifests = read_manifests(parsed.values())
    hashes = {name: manifests[trial.id].hash for text, trial in parsed.items() for _, name in alike[text]}
    return Today({trial_id: found for trial_id, found in hashes.items() if found}, current_commit())


def _text(config: str) -> str:
    try:
        with open(config, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123  # of thousands
            return stream.read()
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return ""


def _without_seed(text: str) -> str:
    """What most trials of a sweep share: `_images` is then taken of a few texts alone."""
    before, _, after = text.partition("\nseed:")
    return before + "\n" + after.partition("\n")[2]


@lru_cache(maxsize=4096)
def _images(text: str) -> str:
    return "".join(IMAGES.findall(text))


def _one_of(same: list[tuple[Path, str]]) -> Trial | None:
    """One of some trials (sweep, name) with the same images; None where the first few cannot be read."""
    for sweep, name in same[:TRIED]:
        with suppress(ConfigError):  # missing, broken or of another version
            return Trial(sweep.name, read_config(TrialFiles(sweep / name)))
    return None
