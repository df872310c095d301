"""Writing what a trial starts from: its resolved configuration and where it belongs."""

import json
import os
import tempfile
from pathlib import Path

import yaml

from launcher.trial import Trial, fingerprint
from launcher.trials.config_file import load_config
from segda_core.config import TaskConfig
from segda_core.errors import ConfigError
from segda_core.files import publish, write_text
from segda_core.trials.layout import TrialFiles
from segda_core.trials.tasks import parse_config


def prepare(trial: Trial, runs: Path) -> TrialFiles:
    """Make the trial's directory where it is missing; what is there stays as it is until it is claimed again.

    `ConfigError` where its config.yaml was changed by hand: its id would no longer say what runs.
    """
    files = trial.files(runs)
    files.root.mkdir(parents=True, exist_ok=True)
    if files.config.exists():
        _check_unchanged(files, trial)
    else:
        _write_once(files.config, _config_text(trial.config))
    if not files.trial.exists():
        _write_once(files.trial, trial_text(trial))
    return files


def is_prepared(files: TrialFiles) -> bool:
    """Whether a trial's directory has what a launch writes there."""
    return files.config.exists() and files.trial.exists()


def renew(files: TrialFiles, config: TaskConfig) -> None:
    """Give the next attempt of a trial today's settings outside its identity (workers, roots, intervals).

    Only for who has claimed it: while an attempt runs, all its processes shall read the same.
    """
    text = _config_text(config)
    if files.config.read_text(encoding="utf-8") != text:
        write_text(files.config, text)


def read_config(files: TrialFiles) -> TaskConfig:
    """A trial's configuration as its directory holds it."""
    return parse_config(load_config(files.config), str(files.config))


def _check_unchanged(files: TrialFiles, trial: Trial) -> None:
    found = fingerprint(read_config(files), trial.parents)
    expected = fingerprint(trial.config, trial.parents)
    if found != expected:
        advice = f"it is now trial {found}; restore it or delete {files.root}"
        raise ConfigError([f"{files.config}: changed since it was written: {advice}"])


def _config_text(config: TaskConfig) -> str:
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def trial_text(trial: Trial) -> str:
    """Content of trial.json."""
    inputs = trial.config.inputs
    content = {
        "sweep": trial.sweep,
        "id": trial.id,
        "label": trial.label,
        "stage": trial.stage,
        "parents": {
            role: {"trial": parent, "output": inputs[role].output} for role, parent in trial.parents.items()
        },
        "point": trial.point,
    }
    return json.dumps(content, indent=1, default=str) + "\n"


def _write_once(path: Path, text: str) -> None:
    """Whole or not at all, and only where it is missing: of two launchers one writes."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8"
    ) as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
        Path(stream.name).chmod(0o644)
        publish(Path(stream.name), path)
