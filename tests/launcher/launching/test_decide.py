from dataclasses import replace
from pathlib import Path

import pytest
from trials import small_config

from launcher.launching.decide import Action, Decision, Requests, decide, decide_all, parse_rerun, parse_retry
from launcher.trial import Trial
from launcher.trials.states import State, TrialStatus
from segda_core.errors import ConfigError
from segda_core.trials.causes import EXPERIMENT_CAUSES, MACHINE_CAUSES

NOTHING = Requests()


def status(state: State, cause: str | None = None, attempt: int | None = 1, **more: str) -> TrialStatus:
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
    changed = "its images changed"
    decision = decide(status(State.MISSING, inputs_changed=changed), NOTHING)
    assert decision.fresh and decision.reason == "unfinished: its images changed, from the start"
    assert decide(status(State.FAILED, "killed", inputs_changed=changed), NOTHING).fresh
    assert not decide(status(State.FAILED, "nan", inputs_changed=changed), NOTHING).fresh


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


class Family:
    """A parent with one child, as a launch finds them."""

    def __init__(self, root: Path) -> None:
        self.parent = Trial("sweep", small_config(root))
        self.child = Trial("sweep", small_config(root), stage="adapt", parents={"init_from": self.parent.id})

    def decide(self, parent: TrialStatus, *, alone: bool = False, requests: Requests = NOTHING) -> Decision:
        """What becomes of a child that has not run; `alone`: the parent is not among the launch's trials."""
        statuses = {
            self.parent.id: replace(parent, id=self.parent.id),
            self.child.id: TrialStatus(self.child.id, State.MISSING),
        }
        trials = [self.child] if alone else [self.parent, self.child]
        return decide_all(trials, statuses, requests)[self.child.id]


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


@pytest.mark.parametrize("alone", [False, True])
def test_children_of_what_is_done_run_and_are_told_where_that_is_stale(family: Family, alone: bool) -> None:
    for state, more in (
        (State.DONE, ""),
        (State.STALE, f"; takes {family.parent.id} as it is, stale"),
    ):
        parent = TrialStatus("", state, metrics={"miou": 0.5})
        assert family.decide(parent, alone=alone) == Decision(Action.RUN, f"not run yet{more}")


@pytest.mark.parametrize("state", [State.MISSING, State.RUNNING, State.QUEUED])
def test_children_wait_for_what_this_launch_runs_or_watches(family: Family, state: State) -> None:
    decision = family.decide(status(state))
    assert (decision.action, decision.parents) == (Action.RUN, (family.parent.id,))
    assert decision.reason == f"not run yet; waits for {family.parent.id}"


def test_children_wait_for_a_parent_that_is_run_again_although_done(family: Family) -> None:
    done = TrialStatus("", State.DONE, metrics={"miou": 0.5})
    again = Requests(rerun=frozenset({family.parent.id}))
    assert family.decide(done, requests=again).parents == (family.parent.id,)


@pytest.mark.parametrize(
    ("parent", "why"),
    [
        (status(State.FAILED, "nan"), "failed (nan); --retry nan takes it up"),
        (status(State.CANCELLED), "cancelled; --retry cancelled takes it up"),
        (status(State.STOPPED), "ended early by the search's scheduler"),
    ],
)
def test_children_of_what_stays_unfinished_are_left_with_the_reason(
    family: Family, parent: TrialStatus, why: str
) -> None:
    decision = family.decide(parent)
    assert (decision.action, decision.reason) == (Action.SKIP, f"waits for {family.parent.id}: {why}")
    assert decision.parents == (family.parent.id,)


def test_parents_that_were_not_selected_are_waited_for_where_they_run(family: Family) -> None:
    assert family.decide(status(State.RUNNING), alone=True).action is Action.RUN
    missing = family.decide(status(State.MISSING), alone=True)
    assert (missing.action, missing.reason) == (
        Action.SKIP,
        f"waits for {family.parent.id}: missing, not selected",
    )


def test_grandchildren_of_a_failure_are_left_too(family: Family) -> None:
    grandchild = Trial("sweep", family.child.config, stage="third", parents={"init_from": family.child.id})
    statuses = {
        family.parent.id: replace(status(State.FAILED, "nan"), id=family.parent.id),
        family.child.id: TrialStatus(family.child.id, State.MISSING),
        grandchild.id: TrialStatus(grandchild.id, State.MISSING),
    }
    decision = decide_all([family.parent, family.child, grandchild], statuses, NOTHING)[grandchild.id]
    assert decision.action is Action.SKIP
    assert decision.reason.startswith(
        f"waits for {family.child.id}: waits for {family.parent.id}: failed (nan)"
    )


def test_rerun_stale_takes_what_becomes_stale_by_it(family: Family) -> None:
    grandchild = Trial("sweep", family.child.config, stage="third", parents={"init_from": family.child.id})
    stale = TrialStatus(family.parent.id, State.STALE, metrics={"miou": 0.5})
    done = TrialStatus(family.child.id, State.DONE, metrics={"miou": 0.5})
    statuses = {stale.id: stale, done.id: done, grandchild.id: replace(done, id=grandchild.id)}
    trials = [family.parent, family.child, grandchild]
    decisions = decide_all(trials, statuses, Requests(rerun_stale=True))
    assert all(decision.action is Action.RUN and decision.fresh for decision in decisions.values())
    assert decisions[grandchild.id].parents == (family.child.id,)
    assert decisions[family.child.id].reason.startswith(f"stale once {family.parent.id} has run")
    only_parent = decide_all(trials, statuses, Requests(rerun=frozenset({family.parent.id})))
    assert only_parent[family.child.id].action is Action.SKIP  # its result may be the same
