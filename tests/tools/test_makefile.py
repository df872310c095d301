import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"

pytestmark = pytest.mark.processes


def said(folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS")}
    command = ["make", "--no-print-directory", "-f", str(MAKEFILE), "help", *words]
    child = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert child.stdout.startswith("  make help")
    return child.stderr


def test_a_venv_of_another_python_than_asked_for_is_said(tmp_path: Path) -> None:
    other = tmp_path / "python3.99"
    other.write_text("#!/bin/sh\necho 3.99\n")
    other.chmod(0o755)
    assert said(tmp_path, f"PYTHON={other}") == ""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f".venv has Python {version}, not that of PYTHON={other}" in said(tmp_path, f"PYTHON={other}")
    assert said(tmp_path, f"PYTHON={sys.executable}") == said(tmp_path) == ""
