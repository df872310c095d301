"""The leaderboard's files during a launch: never in its way."""

import io
from pathlib import Path

import pytest
from hand_made_runs import make_metrics
from rich.console import Console
from trials import write_domains

from launcher.commands.sweep import run_sweep
from launcher.launching.survey import survey
from launcher.leaderboard import Board, Today
from launcher.leaderboard.seen import Seen
from launcher.sweep import expand
from launcher.trials.prepare import prepare
from segda_core.config import TrialConfig
from segda_core.files import read_json, write_json
from sweeps import load, write_profile


def test_the_leaderboard_takes_a_tenth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = [0.0], []

    def write(folder: Path, *, today: Today, seen: Seen | None) -> None:
        now[0] += 5
        written.append(now[0])

    monkeypatch.setattr("launcher.leaderboard.board.time.monotonic", lambda: now[0])
    monkeypatch.setattr("launcher.leaderboard.board.write_leaderboards", write)
    board = Board(tmp_path, Today())
    for second in range(200):
        now[0] = max(now[0], second)
        board.keep_up(ended=second in (0, 1, 2, 130))
    assert written == [5, 55, 135]


def test_a_full_disk_does_not_end_a_launch_for_its_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, *, today: Today, seen: Seen | None) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("launcher.leaderboard.board.write_leaderboards", full)
    board = Board(tmp_path, Today())
    board.keep_up(ended=True)
    assert board.write() == "No space left on device"


@pytest.mark.processes
def test_a_launch_of_some_trials_knows_that_others_are_stale(tmp_path: Path) -> None:
    """Their images changed too."""
    write_domains(tmp_path)
    domains = {
        "render": {"layout": "gta5", "root": str(tmp_path / "source")},
        "camera": {"layout": "cityscapes", "root": str(tmp_path / "target")},
    }
    write_profile(tmp_path, domains=domains)
    sweep = load(tmp_path, grid={"seed": [0, 1]})
    for trial in expand(sweep).trials:
        assert isinstance(trial.config, TrialConfig)
        write_json(prepare(trial, tmp_path / "runs").metrics, make_metrics(trial.config, 0.5))
    run_sweep(survey(sweep, tmp_path / "runs", ["seed=0"], None, []), Console(file=io.StringIO()))
    written = read_json(tmp_path / "runs" / "demo" / "leaderboard.json")
    assert written is not None
    (row,) = written["tables"][0]["rows"]
    assert row["marks"] == ["2 stale"]
