import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checkouts import break_code, git
from small_sweep import SmallSweep, wait_until

from launcher.launching.snapshot import read_code, take_snapshot
from segda_core.errors import ConfigError
from segda_core.files import read_json
from segda_core.trials.environment import code_version

pytestmark = pytest.mark.processes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a file of each kind, and the commit it stands on."""
    folder = tmp_path / "check out"
    for name in ("launcher/same.py", "launcher/changed.py", "launcher/deleted.py", "segda_core/a/b.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"name = {name!r}\n")
    (folder / "pyproject.toml").write_text("[project]\n")
    (folder / "notes.md").write_text("not code\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def edit(checkout: Path) -> None:
    (checkout / "launcher" / "changed.py").write_text("changed = True\n")
    (checkout / "launcher" / "deleted.py").unlink()
    (checkout / "segda_core" / "new.py").write_text("new = True\n")
    (checkout / "segda_core" / "run.log").write_text("ignored by git\n")


def test_what_is_copied_is_what_python_would_have_run(checkout: Path, tmp_path: Path) -> None:
    edit(checkout)
    snapshot = take_snapshot(tmp_path / "runs", checkout)
    files = {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.suffix != ".pyc"}
    assert files - {"launcher", "segda_core", "segda_core/a"} >= {"pyproject.toml", "segda_core/a/b.py"}
    assert {name for name in files if name.endswith(".py")} == {
        "launcher/same.py",
        "launcher/changed.py",
        "segda_core/a/b.py",
        "segda_core/new.py",
    }
    assert (snapshot / "launcher" / "changed.py").read_text() == "changed = True\n"


def test_the_changes_stored_lead_from_the_commit_to_the_copy(checkout: Path, tmp_path: Path) -> None:
    edit(checkout)
    snapshot = take_snapshot(tmp_path / "runs", checkout)
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(checkout), str(again))
    git(again, "apply", str(snapshot / "changes.diff"))
    assert read_code(again).files == read_code(checkout).files
    about = json.loads((snapshot / "snapshot.json").read_text())
    changes = hashlib.sha256((snapshot / "changes.diff").read_bytes()).hexdigest()
    assert about == {
        "hash": snapshot.name,
        "commit": git(checkout, "rev-parse", "HEAD"),
        "diff_hash": changes,
    }
    assert code_version(snapshot) == {
        "commit": about["commit"],
        "diff_hash": changes,
        "snapshot": snapshot.name,
    }


def test_the_same_code_is_the_same_snapshot(checkout: Path, tmp_path: Path) -> None:
    first = take_snapshot(tmp_path / "runs", checkout)
    (checkout / "notes.md").write_text("no code either\n")
    assert take_snapshot(tmp_path / "runs", checkout) == first
    (checkout / "launcher" / "same.py").write_text("other = 1\n")
    second = take_snapshot(tmp_path / "runs", checkout)
    git(checkout, "commit", "-qam", "second")
    third = take_snapshot(tmp_path / "runs", checkout)
    assert len({first, second, third}) == 3, "results of a commit and of changes to an earlier one differ"


def test_many_launches_at_once_make_one(checkout: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: take_snapshot(tmp_path / "runs", checkout), range(16)))
    assert [path.name for path in (tmp_path / "runs" / ".code").iterdir()] == [next(iter(made)).name]


def test_bytecode_is_no_code_also_where_nothing_ignores_it(checkout: Path) -> None:
    before = read_code(checkout)
    (checkout / ".gitignore").unlink(missing_ok=True)
    (checkout / "launcher" / "__pycache__").mkdir()
    (checkout / "launcher" / "__pycache__" / "same.cpython-311.pyc").touch()
    assert not [name for name in read_code(checkout).files if name.endswith(".pyc")]
    assert read_code(checkout).files == before.files


def test_an_installation_without_repository(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / ".git")
    (checkout / "launcher" / "__pycache__").mkdir()
    (checkout / "launcher" / "__pycache__" / "same.cpython-311.pyc").touch()
    snapshot = take_snapshot(tmp_path / "runs", checkout)
    assert sorted(read_code(checkout).files) == [
        "launcher/changed.py",
        "launcher/deleted.py",
        "launcher/same.py",
        "segda_core/a/b.py",
    ]
    assert code_version(snapshot) == {"commit": None, "diff_hash": None, "snapshot": snapshot.name}


def test_a_broken_copy_is_named(checkout: Path, tmp_path: Path) -> None:
    file = take_snapshot(tmp_path / "runs", checkout) / "launcher" / "same.py"
    file.chmod(0o644)
    file.write_text("")
    with pytest.raises(ConfigError, match="not what was copied; delete"):
        take_snapshot(tmp_path / "runs", checkout)


def test_a_trial_that_waits_runs_the_code_it_was_launched_with(own_checkout: Path, tmp_path: Path) -> None:
    """The checkout breaks in both packages while the first of two trials runs; the second does not notice."""
    sweep = SmallSweep(tmp_path / "work", {"method": [{"name": "joint"}], "seed": [0, 1]}, 10, max_parallel=1)
    launch = sweep.start("sweep", "quick")
    wait_until(lambda: any(attempt.heartbeat.exists() for attempt in sweep.attempts()))
    commit = git(own_checkout, "rev-parse", "HEAD")
    break_code(own_checkout)
    code, output = sweep.finish(launch)
    assert code == 0, output
    assert sweep.outcomes() == ["done", "done"]

    [snapshot] = (sweep.folder / "runs" / ".code").iterdir()
    for attempt in sweep.attempts():
        ran_on = read_json(attempt.environment)
        assert (ran_on["commit"], ran_on["snapshot"]) == (commit, snapshot.name)
        assert read_json(attempt.submission)["snapshot"] == snapshot.name
    assert "2 by older code" in sweep.run("status", "quick")[1]

    code, output = sweep.run("sweep", "quick", "--rerun", sweep.trials()[0].root.name)
    assert code == 1, "a new launch runs the code of today"
    assert "edited meanwhile" in sweep.trials()[0].attempt(2).log.read_text()
    assert len(list((sweep.folder / "runs" / ".code").iterdir())) == 2
