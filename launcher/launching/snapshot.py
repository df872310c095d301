"""One copy of the code for each launch, named by its content: what jobs run however the checkout changes.

A snapshot is a folder `runs/.code/HASH` with both packages as they were: tracked, modified and untracked
files that git does not ignore; where there is no repository, the installed files. Launches of the same code
share it. It stays, since it is the only record of changes that were never committed.
"""

import compileall
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from segda_core.checkout import CHECKOUT, PACKAGES, changes, current_commit, hash_of, tracked, untracked
from segda_core.errors import ConfigError
from segda_core.trials.layout import SNAPSHOT_FILE

CHANGES_FILE = "changes.diff"


@dataclass(frozen=True)
class Code:
    """Everything that goes into a snapshot."""

    files: dict[str, bytes]
    """Path in the checkout -> content."""
    commit: str | None = None
    changes: bytes = b""
    """Against the commit, as a diff; untracked files are in it whole."""

    @property
    def diff_hash(self) -> str | None:
        """SHA-256 of the changes; None without any."""
        return hash_of(self.changes)

    @property
    def hash(self) -> str:
        """Name of its snapshot; of another commit the same code is another one: results name their commit."""
        content = {name: hashlib.sha256(text).hexdigest() for name, text in sorted(self.files.items())}
        described = json.dumps({"commit": self.commit, "diff_hash": self.diff_hash, "files": content})
        return hashlib.sha256(described.encode()).hexdigest()[:16]

    def all_files(self) -> dict[str, bytes]:
        """Content of the snapshot's folder."""
        about = {"hash": self.hash, "commit": self.commit, "diff_hash": self.diff_hash}
        return {
            **self.files,
            CHANGES_FILE: self.changes,
            SNAPSHOT_FILE: (json.dumps(about, indent=1) + "\n").encode(),
        }


def take_snapshot(runs: Path, checkout: Path = CHECKOUT) -> Path:
    """The folder with a copy of today's code, made where there is none yet."""
    code = read_code(checkout)
    folder = runs / ".code" / code.hash
    if not folder.exists():
        _make(folder, code)
    _check(folder, code)
    return folder


def read_code(checkout: Path = CHECKOUT) -> Code:
    """The code as it is now, in one reading: what is hashed is what is copied."""
    commit = current_commit(checkout)
    if commit is None:
        return Code(_contents(checkout, _installed(checkout)))
    return Code(_contents(checkout, [*tracked(checkout), *untracked(checkout)]), commit, changes(checkout))


def _installed(checkout: Path) -> list[str]:
    found = [path for name in PACKAGES for path in (checkout / name).rglob("*") if path.is_file()]
    return [str(path.relative_to(checkout)) for path in found if "__pycache__" not in path.parts]


def _contents(checkout: Path, names: list[str]) -> dict[str, bytes]:
    """Tracked files that were deleted are left out."""
    return {name: (checkout / name).read_bytes() for name in names if (checkout / name).is_file()}


def _make(folder: Path, code: Code) -> None:
    """Write it under another name first: of several launches one renames its copy, the others drop theirs."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, content in code.all_files().items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o444)
        compileall.compile_dir(temporary, quiet=2)  # once, not by every process of every job
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check(folder: Path, code: Code) -> None:
    """A crash of the machine may have left empty files, and a person may have tried something in there."""
    for name, content in code.all_files().items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            raise ConfigError([f"{path}: not what was copied; delete {folder}, it is made again"])
