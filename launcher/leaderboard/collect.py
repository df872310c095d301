"""Reading sweeps' directories for the leaderboard: one record per planned trial, whatever its state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from launcher.expand.layers import look_up
from launcher.expand.points import matches_value
from launcher.leaderboard.disk import Above, Folder, Size, largest
from launcher.status import understand
from launcher.trials.find import find_sweep
from launcher.trials.plan import plan_file, read_plan
from launcher.trials.progress import UNREADABLE
from launcher.trials.states import State, TrialStatus
from segda_core.classes import CLASSES
from segda_core.config import TrialConfig
from segda_core.errors import ConfigError, parse
from segda_core.trials.layout import TrialFiles

SEEDS = ("seed", "target.subset.seed")
"""Averaged over, whosever they are."""


class Result(BaseModel):
    """What the leaderboard takes from metrics.json; scores are fractions."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    attempt: int
    """Whose result it is."""
    miou: float
    iou: dict[str, float | None]
    pixel_accuracy: float
    classes: list[str]
    protocol: dict[str, Any]
    uses_target_labels: bool
    target_images: int
    labelled_images: int
    training_skipped: list[str] = []
    """Unreadable files that training did without."""
    validation_skipped: list[str] = []
    """Unreadable images that the scores are without."""
    labels_resized: int = 0
    """Training labels of another size than their image."""


@dataclass(frozen=True)
class Record:
    """One trial as its directory tells it."""

    folder: Path
    """The sweep's directory."""
    id: str
    config: TrialConfig
    axes: frozenset[str]
    """Dotted paths of the sweep's axes that this trial was made from."""
    stage: str | None
    """None in a sweep without stages."""
    lineage: Mapping[str, Any]
    """Axes of its parents whose values are not its own settings: they set it apart from its siblings."""
    above: Above
    """What its ancestors opened."""
    status: TrialStatus | None
    """None where the directory cannot be understood."""
    result: Result | None
    problem: str | None = None

    @property
    def sweep(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def own_size(self) -> Size:
        """Target images that it opens itself."""
        subset = self.config.target_subset
        return None if subset is None else subset.size

    @property
    def size(self) -> Size:
        """The most target images that it or a trial above it opens: what its result may be compared at."""
        return largest(self.own_size, self.above.size)

    @property
    def will_use_target_labels(self) -> bool:
        """Whether it is to use target labels, or was made from some; its teacher may not be there yet."""
        config = self.config
        return (
            config.uses_target_labels
            or self.above.uses_target_labels
            or config.method.teacher_saw_labels is True
        )

    @property
    def stale(self) -> bool:
        """Whether the images changed since: shown, never counted."""
        return self.status is not None and self.status.state is State.STALE

    @property
    def counted(self) -> bool:
        """Whether the result takes part in means and ranks."""
        return self.result is not None and self.status is not None and self.status.state is State.DONE

    @property
    def older_code(self) -> bool:
        """Whether the result was made by another commit."""
        return self.status is not None and self.status.older_code


@dataclass(frozen=True)
class Today:
    """What results are compared with, to find those made from other images or by other code."""

    manifest_hashes: Mapping[str, str] = field(default_factory=dict)
    """Trial id -> hash of its images now; a trial without one is taken as unchanged."""
    commit: str | None = None
    """The code checked out; None where that is not known."""


FURTHEST_FIRST = (
    *(State.DONE, State.STALE, State.RUNNING, State.QUEUED),
    *(State.STOPPED, State.FAILED, State.CANCELLED, State.MISSING),
)
"""Of a trial in several sweeps' folders the one that got furthest is shown."""


@dataclass
class Collection:
    """Everything the sweeps' directories hold, before any grouping."""

    sweeps: tuple[str, ...]
    records: list[Record] = field(default_factory=list)
    unprepared: dict[str, list[str]] = field(default_factory=dict)
    """Data name -> planned ids without a configuration on disk."""
    problems: list[str] = field(default_factory=list)
    """One line for each file that cannot be used, naming it."""
    unranked: int = 0
    """Trials that train no segmenter."""


def collect(
    names: Sequence[str],
    runs: Path,
    *,
    all_trials: bool = False,
    today: Today | None = None,
) -> Collection:
    """Read every planned trial of the named sweeps; with `all_trials`, every directory."""
    found = Collection(tuple(names))
    records: dict[str, Record] = {}
    for name in names:
        root = find_sweep(name, runs)
        folder = Folder(root)
        for identifier, data in _covered(root, found, all_trials).items():
            record = _read(folder, identifier, data, found, today or Today())
            if record is not None and not _says_more(records.get(identifier), record):
                records[identifier] = record
    found.records.extend(records.values())
    for data, identifiers in found.unprepared.items():
        found.unprepared[data] = [each for each in dict.fromkeys(identifiers) if each not in records]
    found.unprepared = {data: left for data, left in found.unprepared.items() if left}
    return found


def _says_more(known: Record | None, record: Record) -> bool:
    """Whether what another sweep's folder holds of the same trial is to be shown instead."""
    return known is not None and _rank(known) <= _rank(record)


def _rank(record: Record) -> int:
    return FURTHEST_FIRST.index(record.status.state) if record.status else len(FURTHEST_FIRST)


def _covered(root: Path, found: Collection, all_trials: bool) -> dict[str, str | None]:
    """Id -> data name of what the leaderboard covers; the name is None for a directory outside the plan."""
    planned = _planned(root, found)
    if planned is not None and not all_trials:
        return dict(planned)
    on_disk = sorted(path.parent.name for path in root.glob("*/config.yaml"))
    return {**dict.fromkeys(on_disk), **(planned or {})}


def _planned(root: Path, found: Collection) -> dict[str, str] | None:
    path = plan_file(root.parent, root.name)
    try:
        if path.exists():
            plan = read_plan(root.parent, root.name)
            return {identifier: data for data, identifiers in plan.items() for identifier in identifiers}
        found.problems.append(f"{path}: missing; every trial on disk is shown instead")
    except (ConfigError, OSError) as error:
        found.problems.append(f"{error}; every trial on disk is shown instead")
    return None


def _read(
    folder: Folder, identifier: str, data: str | None, found: Collection, today: Today
) -> Record | None:
    """The trial's record; None where it trains no segmenter, or (noted) there is nothing to place it by."""
    root = folder.root / identifier
    try:
        written = folder.written(identifier)
        if written is None:
            if data is not None:
                found.unprepared.setdefault(data, []).append(identifier)
            return None
        config, told = written.config, written.made.get("stage")
        point, above = written.point, folder.above(identifier)
    except (OSError, *UNREADABLE) as error:
        found.problems.append(_named(root, error))
        if data is not None:
            found.unprepared.setdefault(data, []).append(identifier)
        return None
    if not isinstance(config, TrialConfig) or "segmenter" not in config.outputs:
        found.unranked += 1
        return None
    lineage = _lineage(config, point) if written.parents else {}
    stage = told if isinstance(told, str) else None
    place = (folder.root, identifier, config, frozenset(point), stage, lineage, above)
    files = TrialFiles(root)
    try:
        status = understand(files, today.manifest_hashes, today.commit)
        result = None if status.metrics is None else parse(Result, status.metrics, str(files.metrics))
    except (OSError, *UNREADABLE) as error:
        problem = _named(files.metrics if files.metrics.exists() else root, error)
        found.problems.append(problem)
        return Record(*place, None, None, problem)
    if result is not None:
        found.problems += [_gone(root, ancestor) for ancestor in above.missing]
    return Record(*place, status, result)


def _gone(root: Path, ancestor: str) -> str:
    unknown = "how many target images that opened is unknown"
    return f"{root}: made from {ancestor}, which is gone or broken: {unknown}"


def _lineage(config: TrialConfig, point: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a point that are not the configuration's: its parents have them."""
    raw = config.model_dump(mode="json")
    return {path: value for path, value in point.items() if path not in SEEDS and not _has(raw, path, value)}


def _has(raw: Any, path: str, value: Any) -> bool:
    try:
        return matches_value(look_up(raw, tuple(path.split("."))), value)
    except KeyError:
        return False


def _named(path: Path, error: Exception) -> str:
    if isinstance(error, ConfigError):
        return str(error)
    return f"{path}: cannot be read: {'no field ' if isinstance(error, KeyError) else ''}{error}"


def declared_classes(records: Iterable[Record]) -> list[str]:
    """Classes declared by any of the trials, in train-id order."""
    declared = {name for record in records for name in record.config.evaluation.classes}
    return [name for name in CLASSES if name in declared]
