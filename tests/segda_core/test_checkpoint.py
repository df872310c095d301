import logging
from pathlib import Path

import pytest
import torch

from segda_core import checkpoint
from segda_core.files import write_json
from segda_core.trials.layout import TrialFiles


def save(path: Path, step: int = 0) -> Path:
    checkpoint.save(path, {"step": step, "networks": {"segmenter": {"weight": torch.arange(5.0)}}})
    return path


def write_attempt(trial: TrialFiles, number: int, steps: list[int], fresh: bool = False) -> None:
    attempt = trial.attempt(number)
    write_json(attempt.submission, {"fresh": fresh})
    for step in steps:
        save(attempt.checkpoints / f"{step}.pt", step)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_a_state_comes_back_equal_and_leaves_no_other_file(tmp_path):
    path = save(tmp_path / "7.pt", 7)

    state = checkpoint.load(path)

    assert state["step"] == 7
    assert torch.equal(state["networks"]["segmenter"]["weight"], torch.arange(5.0))
    assert checkpoint.fault(path) is None
    assert list(tmp_path.iterdir()) == [path]


def test_plain_torch_reads_a_checkpoint(tmp_path):
    path = save(tmp_path / "7.pt", 7)
    assert torch.load(path, weights_only=True)["step"] == 7


def test_every_truncation_and_every_changed_byte_is_found(tmp_path):
    content = save(tmp_path / "1.pt").read_bytes()
    damaged = tmp_path / "2.pt"
    for position in range(0, len(content), 7):
        damaged.write_bytes(content[:position])
        assert checkpoint.fault(damaged) is not None
        changed = bytearray(content)
        changed[position] ^= 1
        damaged.write_bytes(changed)
        assert checkpoint.fault(damaged) is not None


def test_what_was_never_a_checkpoint_is_called_so_and_a_damaged_one_damaged(tmp_path):
    path = save(tmp_path / "1.pt")
    whole = path.read_bytes()
    torch.save({"weight": torch.arange(5.0)}, tmp_path / "foreign.pth")
    torch.save({"weight": 3}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "t.yaml").write_text("name: demo\ndata: toy\n" * 20)
    for name in ("foreign.pth", "old.pth", "t.yaml"):
        assert checkpoint.fault(tmp_path / name).startswith("no checkpoint of segda; allowed:")
    for damaged in (b"", whole[:3], whole[:-10], whole[:-100], whole[: len(whole) // 2], b"X" + whole[1:]):
        path.write_bytes(damaged)
        assert checkpoint.fault(path) == "its checksum does not fit: truncated or altered"


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = save(tmp_path / "1.pt", 1)
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save(path, {"step": (value for value in ())})
    assert checkpoint.load(path)["step"] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_newest_two_valid_and_the_kept_steps_stay(tmp_path):
    for step in (1, 2, 3, 4, 5):
        save(tmp_path / f"{step}.pt", step)
    save(tmp_path / "final.pt")
    save(tmp_path / "nan-9.pt")
    truncate(tmp_path / "5.pt")

    checkpoint.discard_old(tmp_path, keep_steps=(1,))

    assert {path.name for path in tmp_path.iterdir()} == {"1.pt", "3.pt", "4.pt", "final.pt", "nan-9.pt"}


def test_the_newest_valid_checkpoint_is_taken_and_a_truncated_one_warned_about(tmp_path, caplog):
    trial = TrialFiles(tmp_path)
    write_attempt(trial, 1, [2, 10])
    truncate(trial.attempt(1).checkpoints / "10.pt")

    with caplog.at_level(logging.WARNING):
        found = checkpoint.newest(trial, up_to=2)

    assert found == trial.attempt(1).checkpoints / "2.pt"
    assert "10.pt passed over" in caplog.text


def test_steps_count_as_numbers_over_all_attempts(tmp_path):
    trial = TrialFiles(tmp_path)
    write_attempt(trial, 1, [9, 100])
    write_attempt(trial, 2, [20])
    write_attempt(trial, 3, [])
    assert checkpoint.newest(trial, up_to=3) == trial.attempt(1).checkpoints / "100.pt"


def test_nothing_is_read_from_before_a_fresh_attempt(tmp_path):
    trial = TrialFiles(tmp_path)
    write_attempt(trial, 1, [100])
    write_attempt(trial, 2, [5], fresh=True)
    write_attempt(trial, 3, [])
    write_attempt(trial, 4, [50])
    assert checkpoint.newest(trial, up_to=3) == trial.attempt(2).checkpoints / "5.pt"
    write_attempt(trial, 5, [], fresh=True)
    assert checkpoint.newest(trial, up_to=5) is None


def test_an_attempt_made_by_a_requeue_has_no_submission_and_is_not_fresh(tmp_path):
    trial = TrialFiles(tmp_path)
    write_attempt(trial, 1, [3])
    trial.attempt(2).root.mkdir()
    assert checkpoint.newest(trial, up_to=2) == trial.attempt(1).checkpoints / "3.pt"


def test_no_attempt_no_checkpoint(tmp_path):
    assert checkpoint.newest(TrialFiles(tmp_path), up_to=1) is None
