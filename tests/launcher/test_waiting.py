"""What a trial waits for before it starts."""

from pathlib import Path

import pytest

from launcher.waiting import Wait, absent_parents, find_waits
from segda_core.layout import TrialFiles, write_json


def made(folder: Path, name: str, parent: str | None = None, **more: object) -> TrialFiles:
    files = TrialFiles(folder / name)
    files.root.mkdir(parents=True)
    parents = {} if parent is None else {"init_from": {"trial": parent, "output": "segmenter"}}
    write_json(files.trial, {"parents": parents, **more})
    return files


@pytest.fixture
def child(tmp_path: Path) -> TrialFiles:
    """Its parent `b` is done; its canary takes something from `a`, which is not."""
    made(tmp_path, "a")
    write_json(made(tmp_path, "b").metrics, {})
    made(tmp_path, ".canary/slurm-x/c", "../../a", stage="canary")
    files = made(tmp_path, "child", "b")
    files.attempt(1).root.mkdir(parents=True)
    write_json(files.attempt(1).submission, {"executor": "slurm", "canary": ".canary/slurm-x/c"})
    return files


def parents_of(child: TrialFiles) -> list[TrialFiles]:
    return [TrialFiles(child.root.parent / name) for name in ("b", ".canary/slurm-x/c")]


def test_a_canary_that_lacks_its_parents_holds_nobody_up(child: TrialFiles) -> None:
    assert absent_parents(child) == []
    assert find_waits(parents_of(child), lambda _: False) == []


def test_as_long_as_somebody_is_at_it_it_is_waited_for(child: TrialFiles) -> None:
    canary = parents_of(child)[1]
    assert find_waits(parents_of(child), lambda trial: trial == "c") == [Wait(canary)]


def test_one_that_could_have_run_does(child: TrialFiles) -> None:
    write_json(child.root.parent / "a" / "metrics.json", {})
    assert absent_parents(child) == ["c"]
    (wait,) = find_waits(parents_of(child), lambda _: False)
    assert wait.in_vain is not None
