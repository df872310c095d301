"""Where the trials of each stage run: one executor for each configuration, made once for a launch."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from launcher.executors import make_executor
from launcher.executors.base import Executor, Surroundings
from launcher.expand.executor_config import ExecutorConfig
from launcher.expand.stages import Stage
from launcher.trial import Trial
from segda_core.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """An executor and what the sweep file says about it."""

    executor: Executor
    config: ExecutorConfig
    launch_id: str = field(default_factory=lambda: secrets.token_hex(6))
    """In the names of its jobs, so that each executor has its own."""


Places = Mapping[str | None, Place]
"""Name of a stage (None in a sweep without) -> where its trials run."""


@contextmanager
def open_places(
    stages: Sequence[Stage], trials: Sequence[Trial], surroundings: Surroundings
) -> Iterator[dict[str | None, Place]]:
    """The executors that some trials need; `ConfigError` where one can never run a trial it is given."""
    needed = {trial.stage for trial in trials}
    places: dict[str | None, Place] = {}
    with ExitStack() as opened:
        for stage in stages:
            if stage.name in needed:
                known = [place for place in places.values() if place.config == stage.executor]
                places[stage.name] = known[0] if known else _open(stage.executor, surroundings, opened)
        _check(trials, places)
        yield places


def executors_of(places: Iterable[Place]) -> list[Executor]:
    """Each executor once."""
    return list({id(place.executor): place.executor for place in places}.values())


def previews(trials: Sequence[Trial], places: Places) -> list[str]:
    """What would be submitted for some trials."""
    scripts = []
    for executor in executors_of(places.values()):
        theirs = [trial.config for trial in trials if places[trial.stage].executor is executor]
        scripts += executor.preview(theirs)
    return scripts


def _open(config: ExecutorConfig, surroundings: Surroundings, opened: ExitStack) -> Place:
    return Place(opened.enter_context(closing(make_executor(config, surroundings))), config)


def _check(trials: Sequence[Trial], places: Places) -> None:
    found = {trial.id: places[trial.stage].executor.problem(trial.config) for trial in trials}
    if any(found.values()):
        raise ConfigError([f"{key}: {problem}" for key, problem in found.items() if problem])
