import json

import pytest

from segda_core.files import write_json
from segda_core.trials import trial_history as module
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.trial_history import newest_rows, trial_history


@pytest.fixture
def trial(tmp_path) -> TrialFiles:
    return TrialFiles(tmp_path / "trial")


def write_attempt(
    trial: TrialFiles,
    number: int,
    steps: list[int],
    began: int | None = 0,
    fresh: bool = False,
    rest: str = "",
) -> AttemptFiles:
    """An attempt that began at step `began` (None: it ended before), its rows, and `rest` of one."""
    attempt = trial.attempt(number)
    write_json(attempt.submission, {"fresh": fresh})
    if began is not None:
        write_json(attempt.environment, {"first_step": began})
        attempt.history.write_text("".join(line(number, step) for step in steps) + rest)
    return attempt


def line(number: int, step: int) -> str:
    """Every third row is an evaluation."""
    return (
        json.dumps({"step": step, **({"losses": {}} if step % 3 else {"miou": number + step / 100})}) + "\n"
    )


def joined(trial: TrialFiles) -> list[tuple[int, int]]:
    """Attempt and step of each row."""
    return [(row["attempt"], row["step"]) for row in trial_history(trial)]


def test_one_attempt_is_the_whole_history(trial):
    write_attempt(trial, 1, [1, 2, 3])
    assert trial_history(trial) == [
        {"step": 1, "losses": {}, "attempt": 1},
        {"step": 2, "losses": {}, "attempt": 1},
        {"step": 3, "miou": 1.03, "attempt": 1},
    ]


def test_rows_after_the_step_at_which_the_next_began_were_made_again(trial):
    write_attempt(trial, 1, [2, 4, 6, 8])
    write_attempt(trial, 2, [6, 8, 10], began=4)
    write_attempt(trial, 10, [12], began=10)
    assert joined(trial) == [(1, 2), (1, 4), (2, 6), (2, 8), (2, 10), (10, 12)]


def test_a_later_attempt_may_reach_back_behind_several(trial):
    write_attempt(trial, 1, [2, 4, 6])
    write_attempt(trial, 2, [8, 10], began=6)
    write_attempt(trial, 3, [4], began=2)
    assert joined(trial) == [(1, 2), (3, 4)]


def test_a_fresh_attempt_leaves_everything_behind(trial):
    write_attempt(trial, 1, [2, 4])
    fresh = write_attempt(trial, 2, [], began=None, fresh=True)
    assert joined(trial) == []
    write_json(fresh.environment, {"first_step": 0})
    fresh.history.write_text(line(2, 1))
    write_attempt(trial, 3, [2], began=1)
    assert joined(trial) == [(2, 1), (3, 2)]


def test_an_attempt_that_ended_before_it_began_takes_nothing_away(trial):
    write_attempt(trial, 1, [2, 4, 6])
    write_attempt(trial, 2, [], began=None)
    trial.attempt(3).root.mkdir()
    assert joined(trial) == [(1, 2), (1, 4), (1, 6)]
    write_attempt(trial, 4, [], began=4)
    assert joined(trial) == [(1, 2), (1, 4)]


@pytest.mark.parametrize("rest", ['{"step": 6, "lo', "\0\0\0", line(1, 6).rstrip("\n")])
def test_a_last_line_that_was_never_finished_is_no_row(trial, rest):
    write_attempt(trial, 1, [2, 4], rest=rest)
    write_attempt(trial, 2, [8], began=6)
    assert joined(trial) == [(1, 2), (1, 4), (2, 8)]


def test_nothing_yet(trial):
    assert trial_history(trial) == []
    write_attempt(trial, 1, [])
    assert trial_history(trial) == []


def test_rows_of_one_kind_the_newest_first(trial):
    write_attempt(trial, 1, [1, 2, 3, 4])
    write_attempt(trial, 2, [4, 5, 6, 7], began=3)
    assert [row["miou"] for row in newest_rows(trial, "miou")] == [2.06, 1.03]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_rows_across_the_blocks_in_which_they_are_read(trial, size, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", size)
    write_attempt(trial, 1, list(range(50)), rest='{"step"')
    assert joined(trial) == [(1, step) for step in range(50)]
