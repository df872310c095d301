"""`segda quality SWEEP`: from finished trials to tables, pictures and what is left out."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hand_made_runs import Board

from launcher.commands.quality import report_request
from segda_core.errors import ConfigError
from segda_core.files import read_json, write_json
from segda_core.quality import correlation
from segda_core.quality.catalogue import METRICS
from segda_core.quality.report import main, report


def quality_of(target_list: str = "t", images: int = 64, **metrics: float) -> dict:
    on = {
        "target_images": images,
        "target_list": target_list,
        "source_images": images,
        "source_list": "s",
        "source_held_out": True,
        "size": [192, 96],
        "seed": 0,
    }
    return {"metrics": {**dict.fromkeys(METRICS), **metrics}, "on": on}


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """No test here looks at an interval's ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlation, "RESAMPLES", 100)
        yield


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return made(tmp_path)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, dict]:
    """Such a board that nothing changes, and its report."""
    board = made(tmp_path_factory.mktemp("reported"))
    return board, read(board)


def made(folder: Path) -> Board:
    """Eight trials whose entropy falls as mIoU grows, one unmeasured, one measured elsewhere."""
    board = Board(folder / "runs")
    for seed in range(4):
        for method, start in (("source_only", 0.2), ("adaptsegnet", 0.3)):
            miou = start + 0.02 * seed
            quality = quality_of(ent=1 - miou, mi=0.5 - miou, src=0.5)
            board.trial(miou, changes={"quality": quality}, method=method, seed=seed)
    board.trial(0.9, seed=7)
    board.trial(0.95, seed=8, changes={"quality": quality_of(target_list="other", ent=0.0)})
    board.trial(None, seed=9)
    return board


def read(board: Board, *only: str, full: bool = False) -> dict:
    return report(report_request("demo", board.runs, only, full, print))


def test_the_report_follows_the_trials(reported):
    _, content = reported
    assert content["runs"] == 8
    assert content["across"]["ent"]["rho"] == pytest.approx(1)
    assert content["across"]["mi"]["rho"] == pytest.approx(-1)
    assert content["across"]["src"]["rho"] is None  # it never varies
    assert content["selection"]["ent"]["regret"] == 0
    assert content["selection"]["mi"]["miou"] == pytest.approx(0.2)
    assert content["selection"]["mi"]["regret"] == pytest.approx(0.16)
    assert content["selection"]["ent"]["run"].startswith("adaptsegnet-streets-nall-s3")


def test_files_of_the_report(reported):
    board, content = reported
    folder = board.root / "quality"
    assert read_json(folder / "report.json") == json.loads(json.dumps(content))
    index = (folder / "index.md").read_text()
    for name in ("ent", "mi", "src"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"![{name} against mIoU]({name}.png)" in index
    assert not (folder / "pad.png").exists()
    assert "Too few" not in index and "With n = 8, |rho| must reach 0.74" in index


def test_what_is_left_out_is_said(reported):
    notes = " ".join(reported[1]["notes"])
    assert "1 finished trials are not measured" in notes
    assert "1 trials of another protocol" in notes
    assert "pad (8)" in notes and " ent (" not in notes


def test_a_later_measurement_stands_in_for_a_missing_one(board):
    trial = next(board.root.glob("source_only-streets-s7-*"))
    write_json(trial / "evaluations" / "quality.json", quality_of(ent=0.1))
    assert read(board)["runs"] == 9


def test_only_some_trials(board):
    content = read(board, "method=adaptsegnet")
    assert content["runs"] == 4
    assert all("adaptsegnet" in choice["run"] for choice in content["selection"].values())


def test_the_full_set_has_files_of_its_own(board):
    for seed, trial in enumerate(sorted(board.root.glob("adaptsegnet-*"))):
        miou = read_json(trial / "metrics.json")["miou"]
        content = quality_of(images=500, dacc=0.5 + 0.1 * seed, selfiou=miou)
        write_json(trial / "evaluations" / "quality-full.json", content)
    content = read(board, full=True)
    assert (content["runs"], content["set"]) == (4, "full")
    assert content["across"]["selfiou"]["rho"] == pytest.approx(1)
    assert content["selection"]["dacc"]["run"].startswith("adaptsegnet")


def test_checkpoints_on_the_way_come_from_the_history(tmp_path):
    board = Board(tmp_path / "runs")
    for seed in range(4):
        files = board.trial(0.4 + seed / 100, seed=seed, changes={"quality": quality_of(ent=0.5)})
        rows = [
            {"step": step, "miou": step / 1000, "quality": {"ent": 1 - step / 1000}, "time": 0.0}
            for step in (50, 100, 150, 200)
        ]
        files.attempt(1).root.mkdir(parents=True)
        files.attempt(1).history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = read(board)
    assert (content["runs"], content["rows"]) == (4, 16)
    assert content["within"]["ent"]["n"] == 4
    assert content["selection_over_checkpoints"]["ent"]["last_regret"] > 0


def test_a_report_that_cannot_be_written_is_said(tmp_path, monkeypatch, capsys):
    board = Board(tmp_path / "runs")
    board.trial(0.4, changes={"quality": quality_of(ent=0.5)})
    (tmp_path / "runs/demo/quality").write_text("")
    request = report_request("demo", board.runs, [], False, print)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    monkeypatch.setattr("sys.argv", ["report"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "File exists" in capsys.readouterr().err


def test_a_sweep_without_results_is_refused(tmp_path):
    board = Board(tmp_path / "runs")
    board.trial(None)
    with pytest.raises(ConfigError, match="no finished trial"):
        report_request("demo", board.runs, [], False, print)


@pytest.mark.processes
def test_the_command_prints_tables_or_json(board):
    def segda(*words: str) -> str:
        command = [sys.executable, "-m", "launcher.cli", "quality", "demo", "--runs", str(board.runs), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    shown = segda()
    assert "Spearman" in shown and "regret" in shown and "combined" in shown
    assert json.loads(segda("--json"))["across"]["ent"]["n"] == 8
