"""What a trial reads, its images and what its parents made: whether it is there, and still what it was."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from launcher.trials.states import State, TrialStatus
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import Parent, changed_parent, read_parents


def with_inputs(status: TrialStatus, files: TrialFiles, images: Mapping[str, str]) -> TrialStatus:
    """The status of a trial that is not done, with what its inputs mean for its next attempt."""
    manifest_hash = images.get(files.root.name)
    parents = read_parents(files)
    if parents and status.state is State.MISSING:
        status = _waiting(status, parents)
    if status.attempt is None or (manifest_hash is None and not parents):
        return status
    return replace(status, inputs_changed=_changed_since_newest(files, manifest_hash))


def outdated(files: TrialFiles, metrics: Mapping[str, Any], images: Mapping[str, str]) -> str:
    """Why a result is not what it would be today; empty where it is.

    Other images of a trial above count too: that one is stale itself, whether it is made again or not.
    """
    if difference := _changed(files, metrics, images.get(files.root.name)):
        return difference
    above = _with_other_images(metrics.get("parents", {}), files.root.parent, images) if images else None
    return "" if above is None else f"the images of its parent {above} changed"


def _with_other_images(
    parents: Mapping[str, Mapping[str, Any]], sweep: Path, images: Mapping[str, str]
) -> str | None:
    """Of finished trials above one, the first that opens other images today."""
    for record in parents.values():
        name = record["trial"]
        metrics = read_json(TrialFiles(sweep / name).metrics)
        if metrics is None:
            continue
        if images.get(name, metrics["manifest_hash"]) != metrics["manifest_hash"]:
            return str(name)
        if (above := _with_other_images(metrics.get("parents", {}), sweep, images)) is not None:
            return above
    return None


def _changed(files: TrialFiles, read: Mapping[str, Any], manifest_hash: str | None) -> str:
    """Which of the inputs is not what was read; empty where all are. A hash of None is not compared."""
    if manifest_hash is not None and read["manifest_hash"] != manifest_hash:
        return "its images changed"
    parent = changed_parent(read.get("parents", {}), files.root.parent)
    return "" if parent is None else f"its parent {parent} changed"


def _waiting(status: TrialStatus, parents: Sequence[Parent]) -> TrialStatus:
    ids = dict.fromkeys(parent.files.root.name for parent in parents if not parent.files.metrics.exists())
    if not ids:
        return status
    return replace(status, message=f"waits for {' and '.join(ids)}", waits_for=tuple(ids))


def _changed_since_newest(files: TrialFiles, manifest_hash: str | None) -> str:
    """By the newest attempt that says: a launcher killed right after its claim left one that does not.

    What it read of its parents an attempt says once it has begun.
    """
    submission: dict[str, Any] | None = None
    for number in reversed(files.attempt_numbers()):
        attempt = files.attempt(number)
        submission = submission or read_json(attempt.submission)
        begun = read_json(attempt.environment)
        if begun is not None or (submission is not None and not submission.get("parents")):
            read = {**(begun or {}), **(submission or {}), "parents": (begun or {}).get("parents", {})}
            return _changed(files, read, manifest_hash)
    return ""
