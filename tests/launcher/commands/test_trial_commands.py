"""Commands on existing directories: find, logs, cancel, prune."""

import os
import threading
from pathlib import Path

import pytest
from trials import small_config, write_trial

from launcher.commands.logs import find_attempt, read_log
from launcher.commands.prune import prune
from launcher.processes.process import identity
from launcher.status import read_status
from launcher.trials.cancel import cancel, uncancel
from launcher.trials.find import choose, find_sweep, find_trial
from launcher.trials.outcome import Outcome, Status, write_outcome
from launcher.trials.plan import plan_file
from launcher.trials.states import State
from segda_core.errors import ConfigError
from segda_core.files import write_json
from segda_core.trials.layout import TrialFiles

DONE = {"attempt": 1, "steps": 6, "images_per_second": 1.0, "miou": 0.5, "manifest_hash": "h", "code": {}}
OUTPUTS = {"segmenter": {"path": "attempts/1/checkpoints/final.pt", "sha256": ""}}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Sweeps `one` (joint-a, joint-b) and `two` (joint-a, supervised-c), nothing run."""
    for sweep, name, seed in (("one", "joint-a", 0), ("one", "joint-b", 1), ("two", "joint-a", 0)):
        make_trial(tmp_path / sweep / name, "joint", seed)
    make_trial(tmp_path / "two" / "supervised-c", "supervised", 0)
    return tmp_path


def make_trial(folder: Path, method: str, seed: int) -> TrialFiles:
    config = small_config(folder, method, seed=seed)
    folder.mkdir(parents=True)
    files = write_trial(folder, config, attempts=0)
    write_json(files.trial, {"sweep": folder.parent.name, "id": folder.name, "point": {"seed": seed}})
    return files


def finish(files: TrialFiles, outcome: str = "done") -> TrialFiles:
    for name in ("2.pt", "3.pt", ".4.pt.17", "final.pt"):
        path = files.attempt(1).checkpoints / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
    write_outcome(files.attempt(1), Outcome(Status(outcome), ""))
    if outcome == "done":
        write_json(files.metrics, {**DONE, "outputs": OUTPUTS})
    return files


def checkpoints(files: TrialFiles) -> list[str]:
    return sorted(path.name for path in files.attempt(1).checkpoints.iterdir())


def test_find_by_id_beginning_and_path(runs: Path) -> None:
    assert find_trial("joint-b", runs).root == runs / "one/joint-b"
    assert find_trial("super", runs).root == runs / "two/supervised-c"
    assert find_trial(str(runs / "two/joint-a"), runs).root == runs / "two/joint-a"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("joint-a", "any of 2 trials"),
        ("jiont-b", "did you mean 'joint-b'"),
        ("x", "no trial"),
        ("two", "'two' is a sweep, not a trial; `segda status two` lists its trials"),
    ],
)
def test_find_says_what_is_wrong(runs: Path, word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        find_trial(word, runs)


def test_a_canary_is_found_where_it_may_be_meant_and_the_one_that_ran_last(runs: Path) -> None:
    older, newer, _never_started = (
        make_trial(runs / "one/.canary" / state / "canary-joint-7", "joint", 0)
        for state in ("slurm-b", "slurm-a", "slurm-c")
    )
    older.attempt(1).root.mkdir(parents=True)
    os.utime(older.attempts, (1, 1))
    newer.attempt(1).root.mkdir(parents=True)
    assert find_trial("canary-joint", runs, canaries=True).root == newer.root
    assert find_trial("joint-b", runs, canaries=True).root == runs / "one/joint-b"
    with pytest.raises(ConfigError, match="no trial 'canary-joint'"):
        find_trial("canary-joint", runs)
    make_trial(runs / "two/.canary/slurm-a/canary-joint-7", "joint", 0).attempt(1).root.mkdir(parents=True)
    with pytest.raises(ConfigError, match="any of 2 trials"):
        find_trial("canary-joint", runs, canaries=True)


def test_find_sweep_suggests(runs: Path) -> None:
    assert find_sweep("one", runs) == runs / "one"
    with pytest.raises(ConfigError, match="did you mean 'one'"):
        find_sweep("onne", runs)


def test_choose_by_id_and_axis(runs: Path) -> None:
    names = [files.root.name for files in choose(runs / "two", [], print)]
    assert names == ["joint-a", "supervised-c"]
    with pytest.raises(ConfigError, match="no trial"):
        choose(runs / "two", ["method=joint", "seed=7"], print)
    with pytest.raises(ConfigError, match=r"^no axis 'sede'; there are: seed; did you mean 'seed'\?$"):
        choose(runs / "two", ["sede=7"], print)
    with pytest.raises(ConfigError, match=r"^--only: no trial's id begins with 'x'"):
        choose(runs / "two", ["x"], print, "--only: ")


def test_planned_trials_without_files_are_chosen_by_their_id(runs: Path) -> None:
    ids = ["joint-a", "supervised-c", "supervised-d"]
    write_json(plan_file(runs, "two"), {"schema": 1, "data": {"toy": ids}})
    said: list[str] = []
    for words, names in ([], ids), (["supervised"], ids[1:]), (["method=supervised"], ids[1:2]):
        assert [each.root.name for each in choose(runs / "two", words, said.append, planned=True)] == names
    assert said == ["not looked at: 1 planned trial without files yet"]
    plan_file(runs, "one").write_text("{")
    assert len(choose(runs / "one", [], said.append, planned=True)) == 2 and "not a plan" in said[-1]
    assert [each.root.name for each in choose(runs / "two", [], said.append)] == ids[:2]
    [pending] = choose(runs / "two", ["supervised-d"], said.append, planned=True)
    assert cancel([pending]) == [pending] and read_status(pending).state is State.CANCELLED


def test_a_broken_file_is_named_and_leaves_prune_its_other_trials(runs: Path) -> None:
    broken, done = finish(TrialFiles(runs / "two/joint-a")), finish(TrialFiles(runs / "two/supervised-c"))
    broken.metrics.write_text("{")
    assert prune([broken, done], False, print).files == 3
    broken.trial.write_text("{")
    said: list[str] = []
    assert choose(runs / "two", ["seed=0"], said.append) == [done]
    assert choose(runs / "two", ["joint-a"], said.append) == [broken]
    assert len(said) == 1 and "joint-a/trial.json: cannot be read" in said[0]
    for content in ("[1]", '{"sweep": "two", "point": 3}', '{"sweep": "two", "point": {}, "parents": [1]}'):
        broken.trial.write_text(content)
        assert choose(runs / "two", ["seed=0"], said.append) == [done], content


@pytest.mark.parametrize("name", ["config.yaml", "attempts/2/submission.json", "attempts/2/outcome.json"])
def test_prune_leaves_a_trial_alone_that_it_cannot_understand(runs: Path, name: str) -> None:
    broken, done = finish(TrialFiles(runs / "two/joint-a")), finish(TrialFiles(runs / "two/supervised-c"))
    write_outcome(broken.attempt(2), Outcome(Status.FAILED, "", "nan"))
    (broken.root / name).write_text("{")
    said: list[str] = []
    assert prune([broken, done], False, said.append).files == 3
    assert len(checkpoints(broken)) == 4
    assert len(said) == 1 and said[0].startswith(f"left alone: {broken.root}: ")


def test_cancel_marks_what_is_not_over(runs: Path) -> None:
    done, pending = finish(TrialFiles(runs / "one/joint-a")), TrialFiles(runs / "one/joint-b")
    assert cancel([done, pending]) == [pending]
    assert (read_status(done).state, read_status(pending).state) == (State.DONE, State.CANCELLED)
    assert cancel([done, pending]) == []
    uncancel(pending)
    assert read_status(pending).state is State.MISSING
    for cause, marked in (("nan", []), ("killed", [pending])):
        write_outcome(pending.attempt(1), Outcome(Status.FAILED, "", cause, step=3))
        assert cancel([pending]) == marked, "what its experiment broke is not pending"
        assert pending.cancel.exists(), "a launch that is about to retry it shall not"
        assert read_status(pending).state is (State.CANCELLED if marked else State.FAILED)
        uncancel(pending)


def test_prune_keeps_outputs_and_says_what_it_frees(runs: Path) -> None:
    files = finish(TrialFiles(runs / "one/joint-a"))
    assert (prune([files], True, print).files, len(checkpoints(files))) == (3, 4)
    assert prune([files], False, print).size == 12
    assert checkpoints(files) == ["final.pt"]
    assert prune([files], False, print).files == 0


def test_prune_keeps_the_steps_that_are_to_be_kept(tmp_path: Path) -> None:
    config = small_config(tmp_path, checkpoint={"every": 1, "keep_steps": [2]})
    files = finish(write_trial(tmp_path, config))
    prune([files], False, print)
    assert checkpoints(files) == ["2.pt", "final.pt"]


def test_prune_leaves_unfinished_and_running_trials_alone(runs: Path) -> None:
    saved = finish(TrialFiles(runs / "one/joint-a"), "saved")
    rerun = finish(TrialFiles(runs / "one/joint-b"))
    write_json(rerun.attempt(2).runner(0), identity())
    assert prune([saved, rerun], False, print).files == 0
    assert len(checkpoints(saved)) == len(checkpoints(rerun)) == 4


def test_logs_of_the_newest_or_a_named_attempt(runs: Path) -> None:
    files = TrialFiles(runs / "one/joint-a")
    with pytest.raises(ConfigError, match="has not run yet"):
        find_attempt(files, None)
    for number in (1, 2):
        write_outcome(files.attempt(number), Outcome(Status.SAVED, ""))
        files.attempt(number).log.write_text(f"attempt {number}\n")
    assert "".join(read_log(find_attempt(files, None), follow=True)) == "attempt 2\n"
    assert "".join(read_log(find_attempt(files, 1), follow=False)) == "attempt 1\n"
    with pytest.raises(ConfigError, match="no attempt 3; it has: 1, 2"):
        find_attempt(files, 3)


def test_following_a_log_ends_with_the_attempt(runs: Path) -> None:
    attempt = TrialFiles(runs / "one/joint-a").attempt(1)
    write_json(attempt.runner(0), identity())
    attempt.log.write_text("first\n")
    pieces: list[str] = []
    reader = threading.Thread(target=lambda: pieces.extend(read_log(attempt, follow=True)))
    reader.start()
    with attempt.log.open("a") as log:
        log.write("last\n")
    write_outcome(attempt, Outcome(Status.DONE, ""))
    reader.join(timeout=10)
    assert not reader.is_alive() and "".join(pieces) == "first\nlast\n"
