"""The Ray driver of a launch: a child of the launcher that runs Tune and does what the launcher says.

    python -m launcher.executors.ray_driver SWEEP

Lines of JSON: on standard input first the settings, then `{"run": TASK}` and `{"stop": ATTEMPT}`, on standard
output `{"ready": …}`, then `{"ended": ATTEMPT, "error": TEXT or null}`; what Ray prints goes to standard
error. A process of its own because Ray's library sets signal handlers and ends the process whose raylet dies.
"""

import json
import os
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any, TextIO, cast

import ray
from ray import tune
from ray.tune.search import Searcher

from launcher.executors.base import EarlyStopping
from launcher.executors.ray_asha import Asha
from launcher.executors.ray_task import DriverSettings, Task
from launcher.executors.ray_trainable import AttemptTrainable
from launcher.processes.process import PARENT_VARIABLE, death_signal
from launcher.trials.judge import RAISED

TUNE_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",
}
"""Trials are ours: lined up by the launch, recorded in their own directories, stopped by it alone."""


FINISHED = cast("dict[str, Any]", Searcher.FINISHED)
"""What a searcher returns at the end: a word, though its type says a configuration."""


class Feed(Searcher):
    """Hands Tune the attempts that the launch lined up, and tells the launch what became of them."""

    def __init__(self, events: TextIO) -> None:
        super().__init__(metric="miou", mode="max")
        self._events = events
        self._lined_up: deque[Task] = deque()
        self._running: dict[str, str] = {}
        self._closed = False
        self.stopping: set[str] = set()

    def line_up(self, task: Task) -> None:
        """One more attempt to run."""
        self._lined_up.append(task)

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True

    def attempt_of(self, trial_id: str) -> str:
        """The attempt that a Tune trial is."""
        return self._running[trial_id]

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next attempt."""
        if not self._lined_up:
            return FINISHED if self._closed else None
        task = self._lined_up.popleft()
        self._running[trial_id] = task.attempt
        return task.as_config()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A Tune trial ended by itself or was stopped; its runner may still be saving.

        Of one that failed, Tune tells why only afterwards: `FailureTeller`.
        """
        if not error:
            self.tell_end(trial_id)

    def tell_end(self, trial_id: str, error: str | None = None) -> None:
        """Ray has left an attempt, because of an error or in order."""
        self.say(ended=self._running.pop(trial_id), error=error)

    def say(self, **event: Any) -> None:
        """Send an event to the launch."""
        self._events.write(json.dumps(event) + "\n")
        self._events.flush()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune's own records are never read again."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing, as above."""

    def restore(self, checkpoint_path: str) -> None:
        """Never: trial directories say what is left to do."""
        raise NotImplementedError


class FailureTeller(tune.Callback):
    """Tells the launch why Ray could not start an attempt, or lost it."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A Tune trial failed."""
        self._feed.tell_end(trial.trial_id, in_one_line(Path(trial.error_file).read_text()))


def in_one_line(text: str) -> str:
    """What was raised, of a traceback that Tune wrote down; otherwise Ray's last word without its guesses."""
    if raised := RAISED.findall(text):
        return str(raised[-1])
    return text.strip().splitlines()[-1].partition(" Some common causes")[0]


class StopAsked(tune.Stopper):
    """Stops the attempts that the launch wants to end."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop a trial that reports."""
        return self._feed.attempt_of(trial_id) in self._feed.stopping

    def stop_all(self) -> bool:
        """Never: others may go on."""
        return False


def main() -> None:
    """Run what comes in until standard input closes."""
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    death_signal(int(os.environ[PARENT_VARIABLE]))()
    settings = DriverSettings(**json.loads(sys.stdin.readline()))
    os.environ.update(TUNE_ENVIRONMENT)
    os.chdir(settings.storage)  # workers import from the driver's working directory first
    context = ray.init(
        settings.address,
        log_to_driver=False,
        runtime_env={"env_vars": _variables(settings)},
    )
    feed = Feed(events)
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""
    feed.say(ready={"dashboard": dashboard, "nodes": _nodes()})
    threading.Thread(target=_listen, args=(feed,), daemon=True).start()
    _tuner(settings, feed).fit()
    ray.shutdown()


def _variables(settings: DriverSettings) -> dict[str, str]:
    """Of Ray's workers. Ray expands `$NAME` in them, in this order; a path may hold a `$` of its own."""
    return {"DOLLAR": "$", "PYTHONPATH": settings.pythonpath.replace("$", "${DOLLAR}")}


def _tuner(settings: DriverSettings, feed: Feed) -> tune.Tuner:
    return tune.Tuner(
        AttemptTrainable,
        tune_config=tune.TuneConfig(
            search_alg=feed,
            scheduler=_scheduler(settings),
            num_samples=-1,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=settings.storage,
            stop=StopAsked(feed),
            callbacks=[FailureTeller(feed)],
            failure_config=tune.FailureConfig(max_failures=0),
            # Workers save; Tune would call each trial failed that has nothing for it.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _scheduler(settings: DriverSettings) -> Asha | None:
    early = settings.early_stopping
    if early is None:
        return None
    earlier = tuple(Path(path) for path in early["earlier"])
    return Asha(EarlyStopping(**{**early, "earlier": earlier}))


def _name(trial: Any) -> str:
    """The trial's and the attempt's: what Ray's dashboard shows."""
    attempt = Path(Task.of(trial.config).attempt)
    return f"{attempt.parent.parent.name}-{attempt.name}"


def _nodes() -> list[dict[str, float]]:
    return [
        {name: node["Resources"].get(name, 0.0) for name in ("CPU", "GPU")}
        for node in ray.nodes()
        if node["Alive"]
    ]


def _listen(feed: Feed) -> None:
    """Do what the launch says."""
    for line in sys.stdin:
        match json.loads(line):
            case {"run": task}:
                feed.line_up(Task(**task))
            case {"stop": attempt}:
                feed.stopping.add(attempt)
    feed.close()


if __name__ == "__main__":
    main()
