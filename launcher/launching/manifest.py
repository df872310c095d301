"""Asking the data package which images trials will open, in a child process without torch."""

import json
import subprocess
import sys
from collections.abc import Hashable, Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from launcher.trial import Trial
from segda_core.config import TaskConfig, TrialConfig
from segda_core.errors import DataError


class Manifest(BaseModel):
    """The images of one trial, or why they cannot be used."""

    model_config = ConfigDict(frozen=True)

    hash: str = ""
    """Over names and file sizes: results made with other images are stale."""
    source: int = 0
    target: int = 0
    labelled: int = 0
    validation: int = 0
    absent_classes: tuple[str, ...] = ()
    """Declared classes that no labelled target image shows; filled on request."""
    skipped: tuple[str, ...] = ()
    """What `on_bad: skip` left out, one sentence each."""
    problem: str | None = None


def read_manifests(trials: Iterable[Trial], absent_classes: bool = False) -> dict[str, Manifest]:
    """Trial id -> its images; each distinct choice of images is looked up once."""
    keys: dict[str, Hashable] = {}
    selections: dict[Hashable, TaskConfig] = {}
    for trial in trials:
        keys[trial.id] = key = selection_key(trial.config)
        selections.setdefault(key, trial.config)
    if not selections:
        return {}
    manifests = _ask(selections, absent_classes)
    return {trial_id: manifests[key] for trial_id, key in keys.items()}


def image_hashes(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Trial id -> hash of its images, of those whose images can be used."""
    return {trial_id: manifest.hash for trial_id, manifest in manifests.items() if manifest.hash}


def problems(manifests: Iterable[Manifest]) -> list[str]:
    """Why images cannot be used, each reason once."""
    return list(dict.fromkeys(item.problem for item in manifests if item.problem is not None))


def selection_key(config: TaskConfig) -> Hashable:
    """Equal for trials that open the same images; what parents made is not among them."""
    if not isinstance(config, TrialConfig):
        return config.model_dump_json()
    data = config.data.model_dump_json()
    scored = config.method.trains_segmenter()
    return data, config.source, config.target, config.evaluation.classes, config.streams, scored


def _ask(selections: dict[Hashable, TaskConfig], absent_classes: bool) -> dict[Hashable, Manifest]:
    keys = list(selections)
    request = {str(number): selections[key].model_dump(mode="json") for number, key in enumerate(keys)}
    command = [sys.executable, "-m", "segda_core.data", "manifest"]
    command += ["--absent-classes"] if absent_classes else []
    text = json.dumps({"selections": request})
    child = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if child.returncode:
        raise DataError(f"the images could not be listed: {child.stderr.strip() or ' '.join(command)}")
    answer = json.loads(child.stdout)
    return {key: Manifest.model_validate(answer[str(number)]) for number, key in enumerate(keys)}
