"""A canary that nobody has claimed yet; commands stand in for a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_commands import entries_of, forget, stand_in, submit

from launcher.canary import add_canaries
from launcher.cli import cancel as cancel_command
from launcher.entry import Entry
from launcher.states import State
from launcher.status import read_status
from launcher.trial import Trial
from segda_core.layout import write_json
from sweeps import expanded


@pytest.fixture(autouse=True)
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield stand_in(tmp_path, monkeypatch)
    forget()


def with_canary(trials: list[Trial], folder: Path) -> list[Entry]:
    """Entries of a launch of its own."""
    return add_canaries(entries_of(trials, folder), [trials], folder / "runs")


@pytest.mark.parametrize("retried", [False, True])
def test_cancelling_a_sweep_reaches_a_canary_that_is_still_to_be_claimed(
    tmp_path: Path, retried: bool
) -> None:
    """While its launch waits for room, or to try again what the machine broke."""
    entries = with_canary(expanded(tmp_path, grid={"seed": [0, 1]}).trials, tmp_path)
    canary = entries[0]
    if retried:
        content = {"status": "failed", "cause": "node", "message": "", "step": None, "time": 1.0}
        write_json(canary.files.attempt(1).outcome, content)
        canary.seen = 1
    cancel_command("demo", [], False, tmp_path / "runs")
    output = submit(entries)
    assert output.count("queued") == 0, output
    assert [read_status(entry.files).state for entry in entries] == [State.CANCELLED] * 3
    assert canary.files.attempt_numbers() == [1] * retried


def test_a_canary_that_failed_by_itself_is_not_counted_as_cancelled(tmp_path: Path) -> None:
    canary, *_ = with_canary(expanded(tmp_path, grid={"seed": [0, 1]}).trials, tmp_path)
    content = {"status": "failed", "cause": "code", "message": "", "step": None, "time": 1.0}
    write_json(canary.files.attempt(1).outcome, content)
    cancel_command("demo", [], False, tmp_path / "runs")
    assert not canary.files.cancel.exists()
