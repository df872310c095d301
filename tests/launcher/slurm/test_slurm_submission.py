"""Which arrays a launch makes of its trials, and how many of these may run at once; no job runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from slurm_commands import SILENT, entries_of, forget, has_job, stand_in, submit, write_command

from launcher.executors import slurm
from launcher.executors.slurm_shares import Throttle, shares
from launcher.expand.executor_config import SlurmConfig
from launcher.launching.entry import Entry
from launcher.slurm import limits as slurm_limits
from launcher.slurm.limits import Limits, limits
from launcher.trial import Trial
from launcher.trials.outcome import Outcome, Status, write_outcome
from segda_core.files import write_json
from sweeps import expanded

RECORD = """
for script; do :; done
sed -n 's/^#SBATCH --array=//p' "$script" >> "$(dirname "$0")/arrays"
sed -n 's/^#SBATCH --dependency=//p' "$script" >> "$(dirname "$0")/dependencies"
echo Submitted batch job "$(wc -l < "$(dirname "$0")/arrays")"
"""


@pytest.fixture(autouse=True)
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of Slurm's commands: sbatch takes everything and writes down each array."""
    folder = stand_in(tmp_path, monkeypatch)
    write_command(folder / "sbatch", RECORD)
    yield folder
    forget()


def trials_of(folder: Path, count: int) -> list[Trial]:
    return expanded(folder, grid={"seed": list(range(count))}).trials


def arrays(commands: Path) -> list[str]:
    """Of those that sbatch took."""
    path = commands / "arrays"
    return path.read_text().split() if path.exists() else []


def say_limits(commands: Path, *lines: str) -> None:
    write_command(commands / "scontrol", "\n".join(f"echo '{line}'" for line in lines))


def previewed(entries: list[Entry]) -> list[str]:
    scripts = entries[0].place.executor.preview([entry.config for entry in entries])
    lines = "\n".join(scripts).splitlines()
    return [line.removeprefix("#SBATCH --array=") for line in lines if "--array" in line]


@pytest.mark.parametrize(
    ("counts", "allowed", "expected"),
    [
        ([1001, 1001, 498], 10, [4, 4, 2]),
        ([7], 3, [3]),
        ([99, 1, 1], 3, [1, 1, 1]),
        ([1, 99], 2, [1, 1]),
        ([5, 5, 5], 2, [1, 1, 1]),
    ],
)
def test_arrays_share_what_may_run_at_once(counts: list[int], allowed: int, expected: list[int]) -> None:
    assert list(shares(counts, allowed)) == expected


def test_several_arrays_together_keep_max_parallel_as_the_dry_run_shows(
    tmp_path: Path, commands: Path
) -> None:
    say_limits(commands, "MaxArraySize            = 10")
    entries = entries_of(trials_of(tmp_path, 25), tmp_path, max_parallel=5)
    assert previewed(entries) == ["0-9%2", "0-9%2", "0-4%1"]
    submit(entries)
    assert arrays(commands) == ["0-9%2", "0-9%2", "0-4%1"]


def test_where_there_are_more_arrays_than_max_parallel_some_follow_others(
    tmp_path: Path, commands: Path
) -> None:
    say_limits(commands, "MaxArraySize            = 2")
    submit(entries_of(trials_of(tmp_path, 10), tmp_path, max_parallel=2))
    assert arrays(commands) == ["0-1%1"] * 5
    assert (commands / "dependencies").read_text().split() == ["afterany:1", "afterany:2", "afterany:3"]


def test_an_array_follows_as_many_as_make_room_for_it() -> None:
    throttle = Throttle(5)
    for array, parallel in (("1", 2), ("2", 2), ("3", 1)):
        assert throttle.behind(parallel) == ()
        throttle.add(array, parallel)
    assert throttle.behind(3) == ("1", "2")
    throttle.add("4", 3)
    assert throttle.behind(1) == ("3",), "until the fourth begins, the first two use all that it does not"
    assert Throttle(None).behind(None) == ()


def test_a_launch_that_stays_has_no_more_jobs_than_max_parallel(tmp_path: Path, commands: Path) -> None:
    """Top-ups and retries are single jobs, which no array throttles."""
    entries = entries_of(trials_of(tmp_path, 4), tmp_path, waits=True, max_parallel=2)
    executor = entries[0].place.executor
    jobs = []
    for entry in entries[:2]:
        room = executor.reserve(entry.config)
        assert room is not None
        entry.files.attempt(1).root.mkdir(parents=True)
        write_json(entry.files.attempt(1).submission, {"executor": "slurm", "launch_id": "x"})
        jobs.append(room.start(entry.files.attempt(1)))
    assert executor.reserve(entries[2].config) is None
    executor.flush()
    assert executor.reserve(entries[2].config) is None, "they wait in the queue"
    write_outcome(entries[0].files.attempt(1), Outcome(Status.DONE, ""))
    assert jobs[0].has_ended() and not jobs[1].has_ended()
    assert executor.reserve(entries[2].config) is not None
    assert arrays(commands) == previewed(entries) == ["0-1%2"]


def test_an_array_that_is_too_big_is_halved_and_the_halves_divide_its_share(
    tmp_path: Path, commands: Path
) -> None:
    refuse = """
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
test "${last:-0}" -lt 3 || { echo 'sbatch: error: Invalid job array specification' >&2; exit 1; }"""
    write_command(commands / "sbatch", refuse + RECORD)
    trials = trials_of(tmp_path, 6)
    assert "Invalid job array" not in submit(entries_of(trials, tmp_path, max_parallel=3))
    assert arrays(commands) == ["0-2%1", "0-2%2"]
    assert all(has_job(trial, tmp_path) for trial in trials)


@pytest.mark.parametrize(
    "first",
    [
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv' >&2; exit 1",
        "kill -9 $$",
    ],
)
def test_an_array_that_sbatch_got_no_answer_about_is_cancelled_before_the_next(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(slurm, "PAUSE_S", 0.0)
    log, again = commands / "log", commands / "again"
    write_command(
        commands / "sbatch",
        f"""
echo sbatch >> "{log}"
test -e "{again}" || {{ touch "{again}"; {first}; }}
echo Submitted batch job 7""",
    )
    write_command(commands / "scancel", f'echo scancel "$@" >> "{log}"')
    trials = trials_of(tmp_path, 2)
    entries = entries_of(trials, tmp_path)
    submit(entries)
    launch = entries[0].submission.launch_id
    assert log.read_text().splitlines() == ["sbatch", f"scancel --name=segda-{launch}-1", "sbatch"]
    assert all(has_job(trial, tmp_path) for trial in trials)


def test_a_controller_silent_at_the_first_question_is_asked_again(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_limits, "KEEP_S", 1e-6)
    entries = entries_of(trials_of(tmp_path, 5), tmp_path)
    write_command(commands / "scontrol", SILENT)
    assert limits(None, None) is None
    assert previewed(entries) == ["0-4%5"]
    say_limits(commands, "MaxArraySize            = 3")
    assert previewed(entries) == ["0-2%3", "0-1%2"]


def test_a_controller_that_takes_long_to_say_nothing_is_not_asked_for_every_trial(
    commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_limits, "KEEP_S", 0.5)
    write_command(commands / "scontrol", f"echo asked >> '{commands}/log'; sleep 0.6; exit 1")
    assert [limits(None, None) for _ in range(5)] == [None] * 5
    assert (commands / "log").read_text().splitlines() == ["asked"]


def test_the_smaller_of_two_limits_on_arrays_holds(commands: Path) -> None:
    say_limits(commands, "MaxArraySize = 1001", "SchedulerParameters = defer,max_array_tasks=7,bf_continue")
    assert limits(None, None) == Limits(array=7, jobs=None)


def test_a_trial_that_cannot_follow_its_parent_keeps_no_other_from_the_queue(tmp_path: Path) -> None:
    """Its parent runs under Ray, where no job of Slurm can wait for it."""
    parent, *trials = trials_of(tmp_path, 3)
    under_ray = entries_of([parent], tmp_path)[0].files
    write_json(under_ray.attempt(1).submission, {"executor": "ray", "host": "elsewhere", "boot_id": "x"})
    entries = entries_of(trials, tmp_path)
    entries[0].parents = (under_ray,)
    output = submit(entries)
    assert [has_job(trial, tmp_path) for trial in trials] == [False, True]
    assert "1 trial not submitted: they wait for trials" in output and "no more jobs" not in output


@pytest.mark.parametrize("option", ["parsable", "quiet", "wait", "test-only", "test_only"])
def test_what_would_change_the_answer_of_sbatch_is_refused(option: str) -> None:
    with pytest.raises(ValidationError, match=option.replace("_", "-")):
        SlurmConfig.model_validate({"name": "slurm", "sbatch": {option: True}})
