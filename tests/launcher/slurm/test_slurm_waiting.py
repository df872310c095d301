"""A launch that stays says once why jobs wait where that may never pass; commands stand in for a cluster."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from slurm_commands import SILENT, entries_of, forget, stand_in, write_command

from launcher.launching import launch
from launcher.launching.entry import Entry, Phase
from launcher.launching.launch import Launch
from launcher.launching.launch_view import look, odd_waits
from launcher.launching.live import PlainView
from launcher.slurm.queue import queue
from launcher.trials.outcome import BY_CANCEL, write_outcome
from segda_core.files import write_json
from sweeps import expanded


@pytest.fixture(autouse=True)
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield stand_in(tmp_path, monkeypatch)
    forget()


def queued(folder: Path, count: int) -> list[Entry]:
    """Trials whose jobs are one array."""
    entries = entries_of(
        expanded(folder, grid={"seed": list(range(count))}).trials, folder, waits=True, max_parallel=count
    )
    for index, entry in enumerate(entries):
        entry.phase = Phase.RUNNING
        said = {"executor": "slurm", "job_name": "segda-x-1", "array_index": index}
        write_json(entry.files.attempt(1).submission, said)
    return entries


def say_reasons(commands: Path, *reasons: str, name: str = "segda-x-1") -> None:
    lines = [f"8_{index}|{index}|PENDING|{reason}||{name}" for index, reason in enumerate(reasons)]
    write_command(commands / "squeue", "\n".join(f"echo '{line}'" for line in lines))
    queue().look_again()


def test_each_kind_of_reason_is_said_once(tmp_path: Path, commands: Path) -> None:
    entries, said = queued(tmp_path, 4), set[str]()
    say_reasons(
        commands,
        "Priority",
        "JobHeldUser",
        "ReqNodeNotAvail, UnavailableNodes:n1",
        "Priority",
    )
    assert look(entries).queued == 4
    assert list(odd_waits(entries, said)) == [
        f"waits    {entries[1].id}: Slurm: JobHeldUser",
        f"waits    {entries[2].id}: Slurm: ReqNodeNotAvail, UnavailableNodes:n1",
    ]
    say_reasons(
        commands, "JobHeldAdmin", "JobHeldAdmin", "ReqNodeNotAvail, UnavailableNodes:n[1-2]", "JobHeldAdmin"
    )
    look(entries)
    assert list(odd_waits(entries, said)) == [f"waits    {entries[0].id} and 2 more: Slurm: JobHeldAdmin"]
    look(entries)
    assert not list(odd_waits(entries, said))


def test_a_silent_controller_is_said_too(tmp_path: Path, commands: Path) -> None:
    entries = queued(tmp_path, 1)
    write_command(commands / "squeue", SILENT)
    look(entries)
    (line,) = odd_waits(entries, set())
    assert "unknown since" in line and "Unable to contact" in line


def test_a_launch_says_it_while_it_waits(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "POLL_S", 0.025)
    monkeypatch.setattr(launch, "LOOK_S", 0.1)
    (entry,) = entries_of(expanded(tmp_path, grid={"seed": [0]}).trials, tmp_path, waits=True)
    say_reasons(commands, "BadConstraints", name=f"segda-{entry.submission.launch_id}-1")
    output = io.StringIO()
    calls = 0

    def meanwhile(ended: bool) -> None:
        nonlocal calls
        calls += 1
        if calls == 12:  # after about three looks
            entry.files.cancel.touch()
            write_outcome(entry.files.attempt(1), BY_CANCEL)

    Launch([entry], PlainView(Console(file=output, width=1000))).run(meanwhile)
    assert output.getvalue().count(f"waits    {entry.id}: Slurm: BadConstraints") == 1
