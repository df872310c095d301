"""Which commit of segda is checked out, to mark results that another one made."""

import subprocess

from launcher import CHECKOUT


def current_commit() -> str | None:
    """The checked-out commit; None where segda is installed without its repository, or there is no git."""
    if not (CHECKOUT / ".git").exists():
        return None
    try:
        asked = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
