import pytest

from launcher.decide import Action, Requests, decide, parse_rerun, parse_retry
from launcher.states import State, TrialStatus
from segda_core.errors import ConfigError
from segda_core.layout import EXPERIMENT_CAUSES, MACHINE_CAUSES

NOTHING = Requests()


def status(state: State, cause: str | None = None, attempt: int | None = 1, **more: bool) -> TrialStatus:
    return TrialStatus("trial", state, cause, attempt=attempt, step=7, **more)


def test_missing_unfinished_and_machine_failures_run_unasked() -> None:
    assert decide(status(State.MISSING, attempt=None), NOTHING).reason == "not run yet"
    unfinished = decide(status(State.MISSING), NOTHING)
    assert (unfinished.action, unfinished.fresh) == (Action.RUN, False)
    assert unfinished.reason == "unfinished: from its checkpoints (step 7 reached)"
    for cause in MACHINE_CAUSES:
        assert decide(status(State.FAILED, cause), NOTHING).action is Action.RUN


@pytest.mark.parametrize("cause", EXPERIMENT_CAUSES)
def test_experiment_failures_wait_for_retry(cause: str) -> None:
    failed = status(State.FAILED, cause)
    assert decide(failed, NOTHING).action is Action.SKIP
    assert f"--retry {cause}" in decide(failed, NOTHING).reason
    assert decide(failed, Requests(retry=parse_retry(cause))).action is Action.RUN
    assert decide(failed, Requests(retry=parse_retry("all"))).action is Action.RUN
    others = ",".join(word for word in EXPERIMENT_CAUSES if word != cause)
    assert decide(failed, Requests(retry=parse_retry(others))).action is Action.SKIP


def test_a_trial_with_a_broken_file_runs_only_from_the_start() -> None:
    broken = TrialStatus("trial", State.FAILED, message="a file of it cannot be read")
    assert decide(broken, Requests(retry=parse_retry("all"))).reason.endswith("cannot be read")
    assert decide(broken, Requests(rerun=frozenset({"trial"}))).fresh


@pytest.mark.parametrize("state", [State.DONE, State.STALE, State.STOPPED, State.CANCELLED])
def test_final_states_stay(state: State) -> None:
    assert decide(status(state), Requests(retry=parse_retry("all"))).action is Action.SKIP


@pytest.mark.parametrize("state", [State.RUNNING, State.QUEUED])
def test_what_runs_elsewhere_is_waited_for_whatever_is_asked(state: State) -> None:
    everything = Requests(frozenset({"all", "cancelled"}), frozenset({"trial"}), True)
    assert decide(status(state), everything).action is Action.WAIT


def test_cancelled_is_taken_up_by_name_and_continues() -> None:
    decision = decide(status(State.CANCELLED), Requests(retry=parse_retry("cancelled")))
    assert (decision.action, decision.fresh) == (Action.RUN, False)


def test_rerun_starts_afresh() -> None:
    for state in (State.DONE, State.STALE, State.FAILED, State.CANCELLED, State.MISSING):
        decision = decide(status(state, "nan"), Requests(rerun=frozenset({"trial"})))
        assert (decision.action, decision.fresh) == (Action.RUN, True)
    assert decide(status(State.STALE), Requests(rerun_stale=True)).fresh
    assert decide(status(State.DONE), Requests(rerun_stale=True)).action is Action.SKIP


def test_changed_images_start_an_unfinished_trial_afresh() -> None:
    assert decide(status(State.MISSING, inputs_changed=True), NOTHING).fresh
    assert decide(status(State.FAILED, "killed", inputs_changed=True), NOTHING).fresh
    assert not decide(status(State.FAILED, "nan", inputs_changed=True), NOTHING).fresh


def test_retry_words() -> None:
    assert parse_retry("nan, oom") == {"nan", "oom"}
    with pytest.raises(ConfigError, match="found 'nann'; allowed: all, cancelled, oom, nan"):
        parse_retry("nann,oom")
    with pytest.raises(ConfigError, match="found ''"):
        parse_retry("")


def test_rerun_words() -> None:
    ids = ["joint-a", "joint-b", "source-a"]
    assert parse_rerun(["joint-a", "sou", "stale"], ids) == Requests(
        rerun=frozenset({"joint-a", "source-a"}), rerun_stale=True
    )
    with pytest.raises(ConfigError) as caught:
        parse_rerun(["joint", "jint-a"], ids)
    assert caught.value.problems == [
        "--rerun: 'joint' begins several ids: joint-a, joint-b",
        "--rerun: no trial 'jint-a'; did you mean 'joint-a'?",
    ]
