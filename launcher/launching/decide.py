"""Which trials a launch runs: a state and what the user asked for, turned into an action with its reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from launcher.trial import Trial
from launcher.trials.states import State, TrialStatus
from segda_core.errors import ConfigError, did_you_mean
from segda_core.trials.causes import EXPERIMENT_CAUSES, MACHINE_CAUSES

RETRY_WORDS = ("all", "cancelled", *EXPERIMENT_CAUSES, *MACHINE_CAUSES)


class Action(StrEnum):
    """What a launch does with a trial."""

    RUN = "run"
    SKIP = "skip"
    WAIT = "wait"
    """Another launcher runs it."""


@dataclass(frozen=True)
class Decision:
    """An action and, for people, why."""

    action: Action
    reason: str
    fresh: bool = False
    """Start from step 0, past checkpoints left aside."""
    parents: tuple[str, ...] = ()
    """Ids of parents that are not done. A trial to run waits for them; one left alone waits in vain."""


@dataclass(frozen=True)
class Requests:
    """What the user asks to run again although it would not by itself."""

    retry: frozenset[str] = frozenset()
    """Words of `RETRY_WORDS`."""
    rerun: frozenset[str] = frozenset()
    """Ids of trials to run from the start."""
    rerun_stale: bool = False


def parse_retry(text: str) -> frozenset[str]:
    """`all` or `nan,oom`; `ConfigError` for a word that is no cause."""
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    unknown = sorted(words - set(RETRY_WORDS))
    if unknown or not words:
        word = unknown[0] if unknown else text
        allowed = ", ".join(RETRY_WORDS)
        raise ConfigError([f"--retry: found {word!r}; allowed: {allowed}{did_you_mean(word, RETRY_WORDS)}"])
    return words


def parse_rerun(words: Iterable[str], ids: Iterable[str]) -> Requests:
    """Ids, their beginnings, or `stale`; `ConfigError` for one that names no trial or several."""
    known, rerun, stale, problems = list(ids), set(), False, []
    for word in words:
        matches = [known_id for known_id in known if known_id.startswith(word)]
        if word == "stale":
            stale = True
        elif word in known or len(matches) == 1:
            rerun.add(word if word in known else matches[0])
        elif matches:
            problems.append(f"--rerun: {word!r} begins several ids: {', '.join(matches[:4])}")
        else:
            problems.append(f"--rerun: no trial {word!r}{did_you_mean(word, [*known, 'stale'])}")
    if problems:
        raise ConfigError(problems)
    return Requests(rerun=frozenset(rerun), rerun_stale=stale)


def decide(status: TrialStatus, requests: Requests) -> Decision:
    """What a launch does with a trial in this state."""
    if status.state in (State.RUNNING, State.QUEUED):
        return Decision(Action.WAIT, f"{status.state} elsewhere")
    if status.id in requests.rerun:
        return Decision(Action.RUN, "asked for by --rerun: from the start", fresh=True)
    if status.state is State.MISSING:
        return _unfinished(status)
    if status.state is State.FAILED:
        return _failed(status, requests)
    if status.state is State.STALE and requests.rerun_stale:
        return Decision(Action.RUN, "stale, asked for by --rerun stale: from the start", fresh=True)
    if status.state is State.CANCELLED and "cancelled" in requests.retry:
        return _again(status, "cancelled, asked for by --retry")
    if status.state is State.STALE and status.message:
        return Decision(Action.SKIP, f"{status.message}; --rerun stale runs it again")
    return Decision(Action.SKIP, SKIPPED[status.state])


def decide_all(
    trials: Iterable[Trial], statuses: Mapping[str, TrialStatus], requests: Requests
) -> dict[str, Decision]:
    """What a launch of some trials, parents first, does with each; `statuses` hold all their parents' too."""
    decisions: dict[str, Decision] = {}
    for trial in trials:
        decision = decide(statuses[trial.id], requests)
        if requests.rerun_stale and statuses[trial.id].state is State.DONE:
            decision = _with_parents_anew(trial, decision, decisions)
        if decision.action is Action.RUN and trial.parents:
            decision = _after_parents(trial, decision, decisions, statuses)
        decisions[trial.id] = decision
    return decisions


def _with_parents_anew(trial: Trial, decision: Decision, decisions: Mapping[str, Decision]) -> Decision:
    """What `--rerun stale` does with a finished trial: its parent's run from the start makes it stale."""
    for parent in trial.parents.values():
        if parent in decisions and decisions[parent].fresh:
            return Decision(Action.RUN, f"stale once {parent} has run: from the start", fresh=True)
    return decision


def _after_parents(
    trial: Trial,
    decision: Decision,
    decisions: Mapping[str, Decision],
    statuses: Mapping[str, TrialStatus],
) -> Decision:
    awaited, stale = [], []
    for parent in dict.fromkeys(trial.parents.values()):
        theirs, status = decisions.get(parent), statuses[parent]
        if _in_work(theirs, status):
            awaited.append(parent)
        elif status.metrics is None:
            why = f"{status.state}, not selected" if theirs is None else theirs.reason
            return Decision(Action.SKIP, f"waits for {parent}: {why}", parents=(parent,))
        elif status.state is State.STALE:
            stale.append(parent)
    reason = decision.reason
    if stale:
        reason += f"; takes {' and '.join(stale)} as it is, stale"
    if awaited:
        reason += f"; waits for {' and '.join(awaited)}"
    return replace(decision, reason=reason, parents=tuple(awaited))


def _in_work(decision: Decision | None, status: TrialStatus) -> bool:
    """Whether a parent (None: not among the launch's trials) will be done without being asked for."""
    if decision is None:
        return status.state in (State.RUNNING, State.QUEUED)
    return decision.action in (Action.RUN, Action.WAIT)


SKIPPED = {
    State.DONE: "done",
    State.STALE: "stale; --rerun stale runs it again",
    State.STOPPED: "ended early by the search's scheduler",
    State.CANCELLED: "cancelled; --retry cancelled takes it up",
}


def _unfinished(status: TrialStatus) -> Decision:
    return Decision(Action.RUN, "not run yet") if status.attempt is None else _again(status, "unfinished")


def _failed(status: TrialStatus, requests: Requests) -> Decision:
    cause = status.cause
    if cause is None:
        return Decision(Action.SKIP, f"failed: {status.message}")
    if requests.retry & {"all", cause}:
        return _again(status, f"failed ({cause}), asked for by --retry")
    if cause in MACHINE_CAUSES:
        return _again(status, f"failed by the machine ({cause})")
    return Decision(Action.SKIP, f"failed ({cause}); --retry {cause} takes it up")


def _again(status: TrialStatus, why: str) -> Decision:
    if status.inputs_changed:
        return Decision(Action.RUN, f"{why}: {status.inputs_changed}, from the start", fresh=True)
    step = f"from its checkpoints (step {status.step} reached)" if status.step else "from its checkpoints"
    return Decision(Action.RUN, f"{why}: {step}")
