"""A small pair of domains for the tests of data, and configurations on it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import domains
import pytest

from segda_core.config import TrialConfig
from segda_core.errors import parse

Configure = Callable[..., TrialConfig]


@pytest.fixture(scope="session")
def drawn_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 game images, 10 train and 4 validation camera images, 64x32. Never change these files."""
    root = tmp_path_factory.mktemp("pair")
    domains.write_gta5(root / "game", 12)
    domains.write_cityscapes(root / "camera", 10, 4)
    return root


@pytest.fixture
def pair(drawn_pair: Path, tmp_path: Path) -> Path:
    """A copy of the pair that a test may break."""
    root = tmp_path / "a pair's copy"
    shutil.copytree(drawn_pair, root)
    return root


@pytest.fixture
def configure() -> Configure:
    """Builds a checked configuration: `configure(root, method, **changes)`."""

    def build(root: Path, method: str = "joint", on_bad: str = "fail", **changes: Any) -> TrialConfig:
        return parse(TrialConfig, domains.raw_config(root, method, on_bad, **changes), "test")

    return build
