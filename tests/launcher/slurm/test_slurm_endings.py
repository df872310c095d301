"""What becomes of trials by what is known of their jobs; commands that stand in for a cluster say that."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_commands import SILENT, entries_of, forget, stand_in, write_command

from launcher.commands.logs import read_log
from launcher.executors.base import Resources
from launcher.executors.slurm_start import JobStart
from launcher.executors.slurm_task import JobEndedError, NodeTask, Signals
from launcher.launching.claim import Submission, claim
from launcher.launching.decide import Action, Requests, decide
from launcher.slurm.avoid import nodes_to_avoid
from launcher.slurm.requeue import NO_STEP
from launcher.status import read_status
from launcher.trials.cancel import cancel, take_out_of_queue, uncancel
from launcher.trials.life import life_of
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.states import State
from segda_core.errors import ConfigError
from segda_core.files import read_json, write_json
from segda_core.trials.layout import AttemptFiles, TrialFiles
from sweeps import expanded

JOB = {"executor": "slurm", "job_name": "segda-x-1", "array_index": 0, "host": "login", "boot_id": "x"}
REST = "8_1|1|PENDING|Priority||segda-x-1"
"""Another job of the same array."""


@pytest.fixture(autouse=True)
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of Slurm's commands: the queue is empty, and nothing remembers what was in it."""
    yield stand_in(tmp_path, monkeypatch)
    forget()


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    """A trial whose first attempt was submitted."""
    files = entries_of(expanded(tmp_path, grid={"seed": [0]}).trials, tmp_path)[0].files
    write_json(files.attempt(1).submission, JOB)
    return files


def begin(attempt: AttemptFiles, first_step: int = 0) -> None:
    """On a node that is long silent."""
    write_json(attempt.runner(0), {"host": "node", "boot_id": "y", "pid": 1, "pid_start": 1})
    write_json(attempt.environment, {"first_step": first_step})
    grow_old(attempt)


def grow_old(attempt: AttemptFiles) -> None:
    then = time.time() - 300
    os.utime(attempt.root, (then, then))


def say_queue(commands: Path, *lines: str) -> None:
    write_command(commands / "squeue", "\n".join(f"echo '{line}'" for line in lines))


def seen(files: TrialFiles) -> tuple[State, str | None]:
    status = read_status(files)
    return status.state, status.cause


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("TIMEOUT", (State.FAILED, "timeout")),
        ("DEADLINE", (State.FAILED, "timeout")),
        ("NODE_FAIL", (State.FAILED, "node")),
        ("BOOT_FAIL", (State.FAILED, "node")),
        ("OUT_OF_MEMORY", (State.FAILED, "oom")),
        ("FAILED", (State.FAILED, "killed")),
        ("PREEMPTED", (State.MISSING, None)),
        ("CANCELLED by 0", (State.MISSING, None)),
    ],
)
@pytest.mark.parametrize("source", ["squeue", "sacct"])
def test_a_jobs_last_state_says_how_an_attempt_ended_that_left_no_word(
    files: TrialFiles, commands: Path, source: str, last: str, expected: tuple[State, str | None]
) -> None:
    begin(files.attempt(1))
    if source == "squeue":
        say_queue(commands, f"8_0|0|{last.split()[0]}|None||segda-x-1")
    else:
        write_command(commands / "sacct", f"echo '8_0|{last}'")
    assert seen(files) == expected
    decision = decide(read_status(files), Requests())
    assert (decision.action is Action.RUN) == (expected[1] != "oom")


@pytest.mark.parametrize("status", [None, "failed"])
def test_a_preempted_job_has_not_failed_and_is_tried_again_by_the_same_launch(
    files: TrialFiles, commands: Path, status: str | None
) -> None:
    """Also where its runner had to kill the workers, which left no time to save."""
    begin(files.attempt(1))
    if status:
        write_outcome(files.attempt(1), Outcome(Status(status), "", "killed", step=3))
    grow_old(files.attempt(1))
    say_queue(commands, "8_0|0|PREEMPTED|None||segda-x-1")
    found = read_status(files)
    assert (found.state, found.message) == (State.MISSING, "Slurm preempted it before it had saved")
    assert not found.not_again


def test_of_a_job_that_never_began_and_is_forgotten_both_ends_are_said(
    files: TrialFiles, commands: Path
) -> None:
    say_queue(commands, REST)
    found = read_status(files)
    assert found.message == "its job was cancelled before it started, or failed then: Slurm forgot which"
    assert found.state is State.MISSING and found.not_again


@pytest.mark.parametrize(
    "reason", ["launch failed requeued held", "launch_failed_requeued_held", "JobHoldMaxRequeue"]
)
@pytest.mark.parametrize("saved", [False, True])
def test_a_job_that_slurm_could_not_start_makes_room_for_another(
    files: TrialFiles, commands: Path, reason: str, saved: bool
) -> None:
    """For the first time, or after an earlier start had saved: nobody releases it."""
    if saved:
        begin(files.attempt(1))
        write_outcome(files.attempt(1), Outcome(Status.SAVED, "preempted", step=3))
    cancelled = commands / "cancelled"
    write_command(commands / "scancel", f"echo $* >> {cancelled}")
    say_queue(commands, f"8_0|0|PENDING|{reason}||segda-x-1", REST)
    assert seen(files) == ((State.MISSING, None) if saved else (State.FAILED, "node"))
    assert decide(read_status(files), Requests()).action is Action.RUN
    assert claim(files, Submission("slurm", "hash")) == files.attempt(2)
    assert cancelled.read_text() == "8_0\n"


def test_a_trial_that_came_too_early_is_not_waited_with_once_it_is_cancelled(
    files: TrialFiles, commands: Path
) -> None:
    write_outcome(files.attempt(1), Outcome(Status.WAITS, "waits for p"))
    assert read_status(files).came_too_early
    files.cancel.touch()
    cancelled = read_status(files)
    assert (cancelled.state, cancelled.came_too_early) == (State.CANCELLED, False)


def test_a_job_that_could_not_be_launched_says_where_to_look(files: TrialFiles, commands: Path) -> None:
    say_queue(commands, "8_0|0|FAILED|JobLaunchFailure||segda-x-1")
    found = read_status(files)
    assert (found.state, found.cause) == (State.FAILED, "node")
    assert found.message.startswith("Slurm could not launch it on its node")


@pytest.mark.parametrize("name", ["8_0_0_log.err", "8_0_log.err"])
def test_of_a_job_that_ended_before_its_runner_what_it_printed_is_shown(
    files: TrialFiles, commands: Path, name: str
) -> None:
    say_queue(commands, "8_0|0|FAILED|NonZeroExitCode||segda-x-1")
    grow_old(files.attempt(1))
    with pytest.raises(ConfigError, match="has no log yet"):
        list(read_log(files.attempt(1), follow=False))
    log = files.root.parent / ".slurm" / "segda-x-1" / name
    log.parent.mkdir(parents=True)
    if name.startswith("8_0_0"):
        log.with_name("8_10_0_log.err").write_text("of another task\n")
        assert read_status(files).message == "its job ended without a word (FAILED)"
    log.write_text("/x: line 3: /nowhere/activate: No such file or directory\n\n")
    assert read_status(files).message == (
        "its job ended without a word (FAILED): /x: line 3: /nowhere/activate: No such file or directory; "
        f"log: {log}"
    )
    assert list(read_log(files.attempt(1), follow=False)) == [log.read_text()]


@pytest.mark.parametrize(
    ("state", "avoided"), [("mix", ("n1",)), ("drain*", ()), ("down", ()), ("idle*", ())]
)
def test_a_node_where_nothing_began_is_avoided_while_another_works(
    files: TrialFiles, commands: Path, state: str, avoided: tuple[str, ...]
) -> None:
    say_queue(commands, "8_0|0|FAILED|NonZeroExitCode|n1|segda-x-1")
    write_command(commands / "sinfo", f"echo n1 idle; echo 'n2 {state}'")
    write_json(files.attempt(2).submission, JOB)
    assert nodes_to_avoid(files.attempt(2), None) == avoided
    write_outcome(files.attempt(1), Outcome(Status.WAITS, "for its parents"))
    assert nodes_to_avoid(files.attempt(2), None) == ()


def test_other_jobs_may_be_called_anything(files: TrialFiles, commands: Path) -> None:
    odd = r"printf '9|N/A|PENDING|None||caf\351\n10|N/A|PENDING|None||two\nlines\n'"
    write_command(commands / "squeue", f"{odd}\necho '8_0|0|PENDING|Priority||segda-x-1'")
    assert seen(files) == (State.QUEUED, None)


def test_a_suspended_job_is_said_to_be_and_can_be_cancelled(files: TrialFiles, commands: Path) -> None:
    """Its processes stand still: they would not see `segda cancel`'s marker."""
    begin(files.attempt(1))
    cancelled = commands / "cancelled"
    write_command(commands / "scancel", f"echo $* >> {cancelled}")
    say_queue(commands, "8_0|0|SUSPENDED|None||segda-x-1")
    found = read_status(files)
    assert (found.state, found.message) == (State.RUNNING, "Slurm: suspended")
    assert life_of(files.attempt(1)).oddly
    assert take_out_of_queue(cancel([files])) is None
    assert cancelled.read_text() == "8_0\n"


def test_a_controller_that_falls_silent_then_keeps_nobody_from_going_on(
    files: TrialFiles, commands: Path
) -> None:
    say_queue(commands, "8_0|0|PENDING|JobHoldMaxRequeue||segda-x-1")
    write_command(commands / "scancel", SILENT)
    assert claim(files, Submission("slurm", "hash")) == files.attempt(2)


@pytest.fixture
def no_slurm(commands: Path) -> None:
    """As on a workstation that shares the cluster's files."""
    for path in commands.iterdir():
        path.unlink()
    os.environ["PATH"] = str(commands)  # set for the test alone by `commands`


@pytest.mark.usefixtures("no_slurm")
def test_without_slurm_here_a_queued_trial_stays_queued(files: TrialFiles) -> None:
    grow_old(files.attempt(1))
    found = read_status(files)
    assert (found.state, found.message) == (State.QUEUED, "no Slurm here to ask")
    assert decide(found, Requests()).action is Action.WAIT
    assert claim(files, Submission("slurm", "hash")) is None


@pytest.mark.usefixtures("no_slurm")
def test_without_slurm_here_a_silent_trial_is_not_said_to_be_forgotten(files: TrialFiles) -> None:
    begin(files.attempt(1))
    found = read_status(files)
    assert found.message == "its job ended without a word (no Slurm here to ask)"


@pytest.mark.usefixtures("no_slurm")
@pytest.mark.parametrize("saved", [False, True])
def test_without_slurm_here_cancelling_frees_a_queued_trial(files: TrialFiles, saved: bool) -> None:
    attempt = files.attempt(1)
    if saved:
        write_outcome(attempt, Outcome(Status.SAVED, "", step=3))
    grow_old(attempt)
    fault = take_out_of_queue(cancel([files]))
    assert fault is not None and fault.endswith("no Slurm here to ask")
    assert read_status(files).state is State.CANCELLED
    uncancel(files)
    assert claim(files, Submission("local", "hash")) == files.attempt(2)


START = JobStart("8_0", 2, node=0, host="first")


@pytest.fixture
def signals() -> Iterator[Signals]:
    """USR2 has come; the handlers of the task are taken back."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGUSR2, signal.SIGTERM)}
    signals = Signals()
    signals.asked_to_save = True
    yield signals
    for signum, handler in before.items():
        signal.signal(signum, handler)


def say_job(commands: Path, more: str = "", restarts: int = START.restart_count) -> None:
    """The job runs, and the file `requeued` is made where it is queued again."""
    write_command(
        commands / "scontrol",
        f"""
test "$1" = requeue && touch "{commands}/requeued"
echo JobState=RUNNING Restarts={restarts} {more}""",
    )


def end_attempts(files: TrialFiles, *ends: tuple[int | None, int], by: str = "SIGUSR2") -> AttemptFiles:
    """Attempts of one job, asked to save; of each the step it began with (None: it did not) and its last."""
    for number, (first, last) in enumerate(ends, start=1):
        attempt = files.attempt(number)
        write_json(attempt.submission, JOB)
        if first is not None:
            write_json(attempt.environment, {"first_step": first})
        write_outcome(attempt, Outcome(Status.SAVED, "saved", step=last, asked_by=by))
    return attempt


def close(files: TrialFiles, attempt: AttemptFiles, signals: Signals) -> str:
    """What the job's task does when its runner has ended."""
    return NodeTask(files.root, 1, "segda-x-1", 0, Resources(), None)._close(files, attempt, START, signals)


@pytest.mark.parametrize("stuck", [((None, 0),) * 3, ((0, 9), (9, 9), (9, 9), (9, 9))])
def test_a_job_that_never_gains_a_step_within_its_time_limit_ends(
    files: TrialFiles, commands: Path, signals: Signals, stuck: tuple[tuple[int | None, int], ...]
) -> None:
    say_job(commands)
    newest = end_attempts(files, *stuck)
    with pytest.raises(JobEndedError, match="no step within the time limit"):
        close(files, newest, signals)
    assert not (commands / "requeued").exists()
    outcome = read_json(newest.outcome)
    assert (outcome["status"], outcome["cause"], outcome["message"]) == ("failed", "timeout", NO_STEP)
    say_queue(commands, "8_0|0|FAILED|None||segda-x-1")
    assert seen(files) == (State.FAILED, "timeout")


@pytest.mark.parametrize(
    ("ends", "by", "more"),
    [
        (((None, 0),) * 2, "SIGUSR2", ""),
        (((0, 9), (9, 9), (9, 9)), "SIGUSR2", ""),
        (((None, 0), (None, 0), (0, 1)), "SIGUSR2", ""),
        (((None, 0),) * 3, "SIGTERM", ""),
        (((None, 0),) * 3, "SIGUSR2", "PreemptTime=2026-01-01T00:00:00"),
    ],
)
def test_a_job_that_may_get_on_is_queued_again(
    files: TrialFiles,
    commands: Path,
    signals: Signals,
    ends: tuple[tuple[int | None, int], ...],
    by: str,
    more: str,
) -> None:
    """Too few starts in vain, a step gained, or preempted."""
    say_job(commands, more)
    newest = end_attempts(files, *ends, by=by)
    assert close(files, newest, signals) == "queued again"
    assert (commands / "requeued").exists()
    assert read_json(newest.outcome)["status"] == "saved"


@pytest.mark.parametrize("more", ["", "PreemptTime=2026-01-01T00:00:00"])
def test_what_is_left_of_an_earlier_start_does_not_end_the_present_one(
    files: TrialFiles, commands: Path, signals: Signals, more: str
) -> None:
    """Its node was lost for so long that Slurm started the job on another."""
    say_job(commands, more, restarts=START.restart_count + 1)
    with pytest.raises(JobEndedError, match="saved"):
        close(files, end_attempts(files, (0, 9)), signals)
    assert not (commands / "requeued").exists()
