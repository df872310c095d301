"""The leaderboard: collects, groups, ranks and shows sweeps; no stage reads what it writes."""

from launcher.leaderboard.collect import Today
from launcher.leaderboard.show import Format, show
from launcher.leaderboard.write import write_leaderboards

__all__ = ["Format", "Today", "show", "write_leaderboards"]
