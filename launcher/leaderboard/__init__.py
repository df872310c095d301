"""The leaderboard: collects, groups, ranks and shows sweeps; no stage reads what it writes."""

from launcher.leaderboard.board import Board
from launcher.leaderboard.collect import Today
from launcher.leaderboard.seen import see
from launcher.leaderboard.show import Format, show

__all__ = ["Board", "Format", "Today", "see", "show"]
