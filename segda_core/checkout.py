"""The code as git knows it: which commit is checked out, and what was changed since."""

import hashlib
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""Where both packages lie: a checkout, with its sweeps, or where they are installed."""

PACKAGES = ("launcher", "segda_core")

CODE = (*PACKAGES, "pyproject.toml")
"""What results may depend on."""

PLAIN_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary")
"""As git makes it by default: a user's settings shall not change its hash."""


def current_commit(checkout: Path = CHECKOUT) -> str | None:
    """The checked-out commit; None where the code is installed without its repository, or there is no git."""
    found = _git(checkout, "rev-parse", "HEAD") if (checkout / ".git").exists() else None
    return None if found is None else found.decode().strip()


def tracked(checkout: Path) -> list[str]:
    """Files of the code that git knows, deleted ones too."""
    return _names(checkout, "ls-files", "-z", "--", *CODE)


def untracked(checkout: Path) -> list[str]:
    """Files beside them that it neither knows nor ignores."""
    ignored = "--exclude-standard", "--exclude=__pycache__"  # whatever the checkout says: jobs write it too
    return _names(checkout, "ls-files", "-z", "--others", *ignored, "--", *CODE)


def changes(checkout: Path) -> bytes:
    """Of the code against the commit, as a diff; untracked files are in it whole."""
    parts = [_git(checkout, *PLAIN_DIFF, "HEAD", "--", *CODE)]
    parts += [
        _git(checkout, *PLAIN_DIFF, "--no-index", "--", "/dev/null", name) for name in untracked(checkout)
    ]
    return b"".join(part for part in parts if part is not None)


def hash_of(diff: bytes) -> str | None:
    """SHA-256 of changes; None without any."""
    return hashlib.sha256(diff).hexdigest() if diff else None


def _names(checkout: Path, *arguments: str) -> list[str]:
    return [name for name in (_git(checkout, *arguments) or b"").decode().split("\0") if name]


def _git(checkout: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it fails or is not installed. A diff of two files ends with 1."""
    try:
        done = subprocess.run(["git", "-C", checkout, *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 or (done.returncode == 1 and done.stdout) else None
