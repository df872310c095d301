"""The sweep every test of the leaderboard starts from."""

from pathlib import Path

import pytest
from hand_made_runs import Board

from segda_core.files import write_json


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """An empty sweep `demo`."""
    made = Board(tmp_path / "runs")
    write_json(made.root / "plan.json", {"schema": 1, "data": {}})
    return made
