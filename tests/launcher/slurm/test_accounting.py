"""How often slurmdbd is asked; a command that takes its time stands in for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_commands import forget, stand_in, write_command

from launcher.slurm import accounting as module
from launcher.slurm.accounting import accounting
from launcher.slurm.ending import end_of, why_unknown

Answer = Callable[[float], None]


@pytest.fixture(autouse=True)
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """Makes every question be answered after so many seconds, and counted."""
    commands = stand_in(tmp_path, monkeypatch)
    monkeypatch.setattr(module, "SLOW_S", 0.3)
    monkeypatch.setattr(module, "PATIENCE_S", 0.6)
    body = f"echo asked >> '{tmp_path}/log'; sleep %g; echo '8_0|TIMEOUT'"
    yield lambda seconds: write_command(commands / "sacct", body % seconds)
    forget()


def questions(folder: Path) -> int:
    return len((folder / "log").read_text().splitlines())


def ends_of(count: int) -> list[str | None]:
    return [end_of(f"segda-x-{number}", 0, started=True) for number in range(count)]


def test_one_that_answers_is_asked_once_about_every_array(answer: Answer, tmp_path: Path) -> None:
    answer(0)
    assert ends_of(5) == ends_of(5) == ["TIMEOUT"] * 5
    assert questions(tmp_path) == 5
    assert why_unknown("segda-x-0", 0) == "Slurm forgot it"


def test_what_it_said_stays_known_while_it_is_silent(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(0)
    ends_of(1)
    monkeypatch.setattr(module, "KEEP_S", 0.0)
    write_command(tmp_path / "bin" / "sacct", "exit 1")
    assert ends_of(1) == ["TIMEOUT"]


def test_one_that_is_slow_holds_nobody_up_for_long_and_is_asked_again_later(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(0.4)
    assert ends_of(5) == ["TIMEOUT"] * 2 + [None] * 3
    assert questions(tmp_path) == 2
    monkeypatch.setattr(module, "KEEP_S", 0.0)
    assert ends_of(2) == ["TIMEOUT"] * 2, "what is known stays so meanwhile"
    assert questions(tmp_path) == 2
    assert why_unknown("segda-x-4", 0) == "slurmdbd is too slow to be asked about it now"
    monkeypatch.setattr(module, "WINDOW_S", 0.0)
    assert not accounting().is_given_up
    answer(0)
    assert ends_of(5) == ["TIMEOUT"] * 5


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_a_state_from_before_the_job_left_the_queue_is_no_end(tmp_path: Path, state: str) -> None:
    """It may be half a minute old; jobcomp may know better."""
    write_command(tmp_path / "bin" / "sacct", f"echo '8_0|{state}'")
    records = tmp_path / "jobcomp.txt"
    records.write_text("JobId=8 Name=segda-x-0 JobState=OUT_OF_MEMORY ArrayTaskId=0\n")
    assert ends_of(1) == [None]
    forget()
    told = ("JobCompType = jobcomp/filetxt", f"JobCompLoc = {records}")
    write_command(tmp_path / "bin" / "scontrol", "\n".join(f"echo '{line}'" for line in told))
    assert ends_of(1) == ["OUT_OF_MEMORY"]
