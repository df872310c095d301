"""Checkouts of the code under test that a test may edit."""

import subprocess
from pathlib import Path

from launcher.launching.snapshot import read_code
from segda_core.checkout import CHECKOUT


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def copy_checkout(folder: Path) -> None:
    """A repository of its own with the code as it is here."""
    for name, content in read_code(CHECKOUT).files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")


def break_code(checkout: Path) -> None:
    """Commit a change with which no attempt runs, in both packages."""
    for name in ("segda_core/train.py", "launcher/attempt.py"):
        (checkout / name).write_text("raise RuntimeError('edited meanwhile')\n")
    git(checkout, "commit", "-qam", "broken")
