"""What a launch writes before it starts anything: plan.json, and each trial's directory once."""

import threading
from pathlib import Path

import pytest
import yaml

from launcher.sweep import expand, load_sweep
from launcher.trial import Trial, fingerprint
from launcher.trials.plan import plan_file, read_plan, sweep_file, write_plan
from launcher.trials.prepare import prepare, read_config
from segda_core.errors import ConfigError
from segda_core.files import read_json, write_json
from sweeps import expanded, load, write_profile, write_sweep


def plan(folder: Path, *overrides: str, data: str | None = None, **content: object) -> list[str]:
    """Write the plan of a sweep, and its ids."""
    sweep = load_sweep(str(write_sweep(folder, **content)), data=data, overrides=overrides)
    expansion = expand(sweep)
    write_plan(folder / "runs", sweep, expansion)
    return [trial.id for trial in expansion.trials]


def test_the_plan_holds_the_full_expansion_for_each_data(tmp_path: Path) -> None:
    write_profile(tmp_path, name="other")
    toy = plan(tmp_path, grid={"seed": [0, 1]})
    other = plan(tmp_path, grid={"seed": [0, 1]}, data="other")
    assert read_plan(tmp_path / "runs", "demo") == {"toy": toy, "other": other}
    assert read_json(plan_file(tmp_path / "runs", "demo"))["schema"] == 1


def test_a_changed_sweep_replaces_its_plan_but_set_only_fills_an_absent_one(tmp_path: Path) -> None:
    write_profile(tmp_path, name="other")
    first = plan(tmp_path, grid={"seed": [0]})
    second = plan(tmp_path, grid={"seed": [0, 1]})
    assert first != second and read_plan(tmp_path / "runs", "demo") == {"toy": second}
    plan(tmp_path, "steps=6", grid={"seed": [0, 1]})
    assert read_plan(tmp_path / "runs", "demo") == {"toy": second}
    other = plan(tmp_path, "steps=6", grid={"seed": [0, 1]}, data="other")
    assert read_plan(tmp_path / "runs", "demo") == {"toy": second, "other": other}


def test_an_executor_setting_is_no_other_sweep(tmp_path: Path) -> None:
    plan(tmp_path, grid={"seed": [0]})
    second = plan(tmp_path, "executor.max_parallel=1", grid={"seed": [0, 1]})
    assert read_plan(tmp_path / "runs", "demo") == {"toy": second}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"data": {"toy": 3}}', '{"data": '])
def test_a_broken_plan_is_said(tmp_path: Path, content: str) -> None:
    plan(tmp_path)
    plan_file(tmp_path / "runs", "demo").write_text(content)
    with pytest.raises(ConfigError, match=r"plan\.json: not a plan; delete it"):
        plan(tmp_path)


def test_a_plan_remembers_its_file_and_one_of_before_does_not(tmp_path: Path) -> None:
    ids = plan(tmp_path)
    assert sweep_file(tmp_path / "runs", "demo", "toy") == tmp_path / "sweeps/demo.yaml"
    write_json(plan_file(tmp_path / "runs", "demo"), {"schema": 1, "data": {"toy": ids}})
    assert sweep_file(tmp_path / "runs", "demo", "toy") is None
    assert plan(tmp_path) == read_plan(tmp_path / "runs", "demo")["toy"]
    assert sweep_file(tmp_path / "runs", "demo", "toy") == tmp_path / "sweeps/demo.yaml"


def test_an_unchanged_plan_is_not_written_again(tmp_path: Path) -> None:
    plan(tmp_path)
    before = plan_file(tmp_path / "runs", "demo").stat().st_ino
    plan(tmp_path)
    assert plan_file(tmp_path / "runs", "demo").stat().st_ino == before


def test_a_prepared_trial_reads_back_as_itself(tmp_path: Path) -> None:
    trial = expanded(tmp_path, grid={"seed": [3]}).trials[0]
    files = prepare(trial, tmp_path / "runs")
    assert files.root == tmp_path / "runs" / "demo" / trial.id
    assert read_config(files) == trial.config
    assert set(yaml.safe_load(files.config.read_text())) == set(type(trial.config).model_fields)
    assert read_json(files.trial) == {
        "sweep": "demo",
        "id": trial.id,
        "label": "joint-toy-nall-s3",
        "stage": None,
        "parents": {},
        "point": {"seed": 3},
    }
    assert sorted(path.name for path in files.root.iterdir()) == ["config.yaml", "trial.json"]
    assert files.config.stat().st_mode & 0o777 == 0o644


def test_small_numbers_survive_yaml(tmp_path: Path) -> None:
    base = {"method": {"name": "joint"}, "steps": 1, "optimizer": {"name": "sgd", "lr": 6e-05}}
    trial = expanded(tmp_path, base=base).trials[0]
    assert read_config(prepare(trial, tmp_path / "runs")).optimizer.lr == 6e-05


def test_an_existing_directory_is_not_altered(tmp_path: Path) -> None:
    trial = expanded(tmp_path).trials[0]
    files = prepare(trial, tmp_path / "runs")
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in (files.config, files.trial)]
    moved = Trial(trial.sweep, trial.config.model_copy(update={"workers": 4}), {"other": 1})
    assert moved.id == trial.id
    prepare(moved, tmp_path / "runs")
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in (files.config, files.trial)] == before


def test_a_half_prepared_directory_is_completed(tmp_path: Path) -> None:
    trial = expanded(tmp_path).trials[0]
    files = prepare(trial, tmp_path / "runs")
    files.trial.unlink()
    prepare(trial, tmp_path / "runs")
    assert read_json(files.trial)["id"] == trial.id


def test_a_config_changed_by_hand_is_refused(tmp_path: Path) -> None:
    trial = expanded(tmp_path).trials[0]
    files = prepare(trial, tmp_path / "runs")
    files.config.write_text(files.config.read_text().replace("steps: 5", "steps: 6"))
    changed = fingerprint(read_config(files))
    with pytest.raises(
        ConfigError, match=f"config.yaml: changed since it was written: it is now trial {changed}"
    ):
        prepare(trial, tmp_path / "runs")


def test_many_launchers_prepare_the_same_trials_at_once(tmp_path: Path) -> None:
    sweep = load(tmp_path, grid={"seed": list(range(20))})
    expansion = expand(sweep)
    faults: list[BaseException] = []

    def launch() -> None:
        try:
            write_plan(tmp_path / "runs", sweep, expansion)
            for trial in expansion.trials:
                prepare(trial, tmp_path / "runs")
        except BaseException as error:  # handed to the test
            faults.append(error)

    threads = [threading.Thread(target=launch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for trial in expansion.trials:
        files = trial.files(tmp_path / "runs")
        assert sorted(path.name for path in files.root.iterdir()) == ["config.yaml", "trial.json"]
        assert read_config(files) == trial.config
