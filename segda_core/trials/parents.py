"""What a trial takes from its parents: trial.json names them by role, their metrics.json what they made.

Free of torch: the launcher asks whether parents are done or have changed, the core reads what they made.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segda_core.errors import DataError
from segda_core.files import read_json
from segda_core.trials.layout import TrialFiles

Record = dict[str, Any]
"""What an attempt keeps of one parent: `trial`, `output`, `path`, `sha256`, `uses_target_labels`."""


@dataclass(frozen=True)
class Parent:
    """One parent of a trial, in the same sweep's folder: paths stay true where runs are moved."""

    role: str
    files: TrialFiles
    output: str
    """Which of its outputs is read."""

    def record(self) -> Record | None:
        """The output as it is now; None while the parent is not done."""
        metrics = read_json(self.files.metrics)
        if metrics is None:
            return None
        if self.output not in metrics["outputs"]:
            made = ", ".join(metrics["outputs"])
            raise DataError(f"{self.files.metrics}: {self.role} needs {self.output!r}; it made: {made}")
        return {
            "trial": self.files.root.name,
            "output": self.output,
            **metrics["outputs"][self.output],
            "uses_target_labels": bool(metrics.get("uses_target_labels", False)),
        }

    def open(self, record: Record) -> Path:
        """The file or folder it made; `DataError` where it is missing or not what the parent published."""
        path = self.files.root / str(record["path"])
        if not path.exists():
            raise DataError(f"{path}: missing; the parent made it ({self.role}); {self._remedy}")
        if digest(path) != record["sha256"]:
            found = f"altered since the parent made it ({self.role}): another SHA-256"
            raise DataError(f"{path}: {found}; {self._remedy}")
        return path

    @property
    def _remedy(self) -> str:
        return f"segda sweep … --rerun {self.files.root.name} --retry data makes it again"


def read_parents(trial: TrialFiles) -> list[Parent]:
    """The parents of a trial, by role."""
    content = read_json(trial.trial) or {}
    named: Mapping[str, Mapping[str, str]] = content.get("parents") or {}
    folder = trial.root.parent
    return [Parent(role, TrialFiles(folder / item["trial"]), item["output"]) for role, item in named.items()]


def changed_parent(records: Mapping[str, Record], sweep: Path, images: Mapping[str, str]) -> str | None:
    """The parent, or one of theirs, whose result is no longer what was read; one not done says nothing.

    Nor is it where its images are not what they were: `images` are ids with the hashes of theirs today.
    """
    for role, record in records.items():
        files = TrialFiles(sweep / record["trial"])
        now = Parent(role, files, record["output"]).record()
        if now is None:
            continue
        if now["sha256"] != record["sha256"]:
            return str(record["trial"])
        metrics = read_json(files.metrics) or {}
        if record["trial"] in images and metrics.get("manifest_hash") != images[record["trial"]]:
            return str(record["trial"])
        if (above := changed_parent(metrics.get("parents", {}), sweep, images)) is not None:
            return above
    return None


def digest(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, over the names and sizes of its files."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    listing = "".join(f"{name}\t{(path / name).stat().st_size}\n" for name in names)
    return hashlib.sha256(listing.encode()).hexdigest()
