"""A trial that was lost, ran twice or ended differently does not go uncounted."""

from pathlib import Path

import pytest
from small_sweep import SmallSweep

from faults.report import Count, Page, markdown, read_page, run_line
from faults.victim import Victim
from launcher.trials.outcome import Outcome, Status, write_outcome
from segda_core.files import write_json
from segda_core.trials.layout import TrialFiles

ONE = {"method": [{"name": "source_only"}]}


def sweep_with(folder: Path, statuses: list[str], attempt: int | None, weights: str = "abc") -> SmallSweep:
    """A trial whose attempts ended so, and one of which (None: no one) made the result."""
    sweep = SmallSweep(folder, ONE, steps=1)
    files = TrialFiles(folder / "runs" / "quick" / "trial")
    for number, status in enumerate(statuses, start=1):
        files.attempt(number).root.mkdir(parents=True)
        write_outcome(files.attempt(number), Outcome(Status(status), ""))
    write_json(files.trial, {})
    if attempt is not None:
        outputs = {"segmenter": {"sha256": weights}}
        write_json(files.metrics, {"attempt": attempt, "miou": 0.5, "iou": {}, "outputs": outputs})
    return sweep


@pytest.mark.parametrize(
    ("statuses", "attempt", "weights", "expected"),
    [
        (["saved", "done"], 2, "abc", Count(1, 0, 0, 1)),
        (["saved", "failed"], None, "abc", Count(1, 1, 0, 0)),
        (["done", "superseded"], 1, "abc", Count(1, 0, 1, 1)),
        (["done", "done"], 2, "abc", Count(1, 0, 1, 1)),
        (["saved", "done"], 2, "other", Count(1, 0, 0, 0)),
    ],
)
def test_what_is_counted(
    tmp_path: Path, statuses: list[str], attempt: int | None, weights: str, expected: Count
) -> None:
    alone = sweep_with(tmp_path / "alone", ["done"], 1)
    (files,) = sweep_with(tmp_path / "struck", statuses, attempt, weights).trials()
    count = Count()
    count.add(Victim(files), alone)
    assert count == expected
    assert count.is_clean is (expected == Count(1, 0, 0, 1))


def test_the_page_has_a_line_for_each_fault_and_their_sum_and_is_read_back(tmp_path: Path) -> None:
    counts = {("local", "kill -9 worker"): Count(3, 0, 1, 3), ("ray", "scancel, waiting"): Count(2, 1, 0, 1)}
    run = run_line(3, 7, machine="2 CPU cores", versions="slurm-wlm 22.05.8")
    more = run_line(2, 8, machine="2 CPU cores", versions="slurm-wlm 22.05.8", added=True)
    page = markdown(counts, [run, more])
    assert (
        "    make faults REPEAT=3 SEED=7    # 20" in page
        and "    make faults REPEAT=2 SEED=8 ADD=1    # 20" in page
    )
    assert "| local | kill -9 worker | 3 | 0 | 1 | 3 |\n| ray | scancel, waiting | 2 | 1 | 0 | 1 |\n" in page
    assert "5 tried, 1 lost, 1 duplicated, 4 equal" in page
    assert read_page(page) == (counts, [run, more])


def test_runs_at_the_same_time_add_to_one_page(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(markdown({("ray", "scancel"): Count(9, 9, 9, 0)}, [line(9, 9)]))
    one, other = Page(page), Page(page)
    one.clear()
    one.add({("local", "kill -9 worker"): Count(1, 0, 0, 1)}, line(1, 7))
    other.add({("local", "kill -9 worker"): Count(1, 1, 0, 0)}, line(1, 8))
    one.add({("local", "kill -9 worker"): Count(1, 0, 0, 1)}, line(2, 7))
    on_page = other.add({("slurm", "scancel"): Count(1, 0, 1, 1)}, line(2, 8))
    expected = {("local", "kill -9 worker"): Count(3, 1, 0, 2), ("slurm", "scancel"): Count(1, 0, 1, 1)}
    assert on_page == expected and read_page(page.read_text()) == (expected, [line(2, 7), line(2, 8)])


def line(repeat: int, seed: int) -> str:
    return run_line(repeat, seed, machine="2 CPU cores", versions="slurm-wlm 22.05.8")
