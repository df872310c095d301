"""The leaderboard's files during a launch: never in its way."""

from pathlib import Path

import pytest

from launcher.leaderboard import Board, Today
from launcher.leaderboard.seen import Seen


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
