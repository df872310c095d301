"""What a trial reads, its images and what its parents made: whether it is there, and still what it was."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from launcher.trials.states import State, TrialStatus
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles
from segda_core.trials.parents import Parent, changed_parent, read_parents


def with_inputs(status: TrialStatus, files: TrialFiles, images: Mapping[str, str]) -> TrialStatus:
    """The status of a trial that is not done, with what its inputs mean for its next attempt."""
    name = files.root.name
    own = {name: images[name]} if name in images else {}  # what it read of its parents is what it was
    parents = read_parents(files)
    if parents and status.state is State.MISSING:
        status = _waiting(status, parents)
    if status.attempt is None or not (own or parents):
        return status
    return replace(status, inputs_changed=_changed_since_newest(files, own))


def outdated(files: TrialFiles, read: Mapping[str, Any], images: Mapping[str, str]) -> str:
    """Which of the inputs is not what was read; empty where all are. Who is not in `images` is unchanged."""
    own = images.get(files.root.name)
    if own is not None and read["manifest_hash"] != own:
        return "its images changed"
    parent = changed_parent(read.get("parents", {}), files.root.parent, images)
    return "" if parent is None else f"its parent {parent} changed"


def _waiting(status: TrialStatus, parents: Sequence[Parent]) -> TrialStatus:
    ids = dict.fromkeys(parent.files.root.name for parent in parents if not parent.files.metrics.exists())
    if not ids:
        return status
    return replace(status, message=f"waits for {' and '.join(ids)}", waits_for=tuple(ids))


def _changed_since_newest(files: TrialFiles, images: Mapping[str, str]) -> str:
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
            return outdated(files, read, images)
    return ""
