"""The stages of a sweep: in an order in which parents come first, or everything that is wrong with them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.expand.executor_config import ExecutorConfig
from launcher.expand.points import Part
from launcher.expand.sweep_file import StageFile, SweepFile
from segda_core.config import ROLES, Profile
from segda_core.errors import ConfigError, Json, did_you_mean
from segda_core.trials.tasks import TaskName

STAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""Ids begin with it, and a hyphen follows."""

ROLES_OF_TASK = {
    "train": ("init_from", "teacher", "labels"),
    "translate": ("network",),
    "pseudo_label": ("network",),
}
"""Task -> roles its trials may have; of `train` the method has the last word."""


@dataclass(frozen=True)
class Stage:
    """One stage of a sweep with its profile and executor; a sweep without stages is one without a name."""

    name: str | None
    part: Part
    profile_file: Path
    profile: Profile
    executor: ExecutorConfig
    proposed: tuple[Mapping[str, Json], ...] = ()
    """Settings that an adaptive search has proposed so far."""

    @property
    def prefix(self) -> str:
        """Where it stands in the file, as `stages.adapt.`."""
        return "" if self.name is None else f"stages.{self.name}."

    @property
    def task(self) -> TaskName:
        """What its trials do."""
        return self.part.task if isinstance(self.part, StageFile) else "train"

    @property
    def roles(self) -> Mapping[str, str]:
        """Role or output key -> stage of the parents."""
        return self.part.from_ if isinstance(self.part, StageFile) else {}

    @property
    def match(self) -> Mapping[str, Json]:
        """Axis of parents -> the value they have there."""
        return self.part.match if isinstance(self.part, StageFile) else {}

    @property
    def base(self) -> Mapping[str, Json]:
        """What stands over the sweep's own `base`."""
        return self.part.base if isinstance(self.part, StageFile) else {}


def ordered_parts(model: SweepFile, file: Path) -> dict[str | None, Part]:
    """Name -> stage, parents first; the file itself, without a name, where it has no stages."""
    if not model.stages:
        return {None: model}
    faults = [*_top_faults(model), *_name_faults(model.stages), *_role_faults(model.stages)]
    order, cycle = _in_order(model.stages)
    if cycle:
        faults.append(f"stages: a cycle: {' <- '.join(cycle)}")
    if faults:
        raise ConfigError([f"{file}: {fault}" for fault in faults])
    return {name: model.stages[name] for name in order}


def first_parts(model: SweepFile) -> dict[str | None, Part]:
    """The stages that depend on no other, whatever is wrong with the rest."""
    parts = model.stages.items()
    return {name: part for name, part in parts if part.task == "train" and not (part.from_ or part.match)}


def _top_faults(model: SweepFile) -> Iterator[str]:
    for key in ("grid", "zip", "exclude"):
        if getattr(model, key):
            stages = ", ".join(model.stages)
            yield f"{key}: beside stages only data, base and executor go for all; write it in one: {stages}"


def _name_faults(stages: Mapping[str, StageFile]) -> Iterator[str]:
    for name in stages:
        if not STAGE_NAME.fullmatch(name):
            yield f"stages.{name}: a stage's name is letters, digits and _, a letter first"


def _role_faults(stages: Mapping[str, StageFile]) -> Iterator[str]:
    for name, stage in stages.items():
        for role, parent in stage.from_.items():
            if parent not in stages:
                near = did_you_mean(parent, list(stages))
                yield f"stages.{name}.from.{role}: no stage {parent!r}; there are: {', '.join(stages)}{near}"
        yield from (f"stages.{name}.{fault}" for fault in _task_faults(stage))


def _task_faults(stage: StageFile) -> Iterator[str]:
    taken = ROLES_OF_TASK[stage.task]
    for role in stage.from_:
        if role not in taken and (role in ROLES or stage.task != "train"):
            near = did_you_mean(role, taken)
            yield f"from.{role}: task {stage.task} takes no {role}; it takes: {', '.join(taken)}{near}"
    if stage.task != "train" and "network" not in stage.from_:
        yield f"from: task {stage.task} needs a network: from: {{network: STAGE}}"
    if stage.match and not stage.from_:
        yield "match: there is nothing to match; the stage has no `from`"


def _in_order(stages: Mapping[str, StageFile]) -> tuple[list[str], list[str]]:
    """(names, parents first and otherwise as written; the first cycle, empty where there is none)."""
    order: list[str] = []
    cycle: list[str] = []

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            cycle[:] = cycle or [*trail[trail.index(name) :], name]
        elif name not in order:
            for parent in stages[name].from_.values():
                if parent in stages:
                    visit(parent, [*trail, name])
            order.append(name)

    for name in stages:
        visit(name, [])
    return list(dict.fromkeys(order)), cycle
