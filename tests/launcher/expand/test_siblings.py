"""Points that differ in their seed alone come to what each would by itself."""

from pathlib import Path

import pytest

from launcher.expand import siblings
from launcher.trial import Trial
from segda_core.config import TrialConfig
from segda_core.errors import ConfigError, check
from sweeps import METHODS, expanded


def test_seeds_of_a_point_are_validated_once_and_equal_what_each_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated: list[object] = []

    def counted(model: type[TrialConfig], raw: object) -> object:
        validated.append(raw)
        return check(model, raw)

    monkeypatch.setattr(siblings, "check", counted)
    grid = {"method": METHODS[2:], "seed": list(range(10)), "batch_size": [2, 4]}
    trials = expanded(tmp_path, grid=grid).trials
    assert len(trials) == 40
    assert len(validated) == 4 + 9, "once for each point without its seed, and for each further seed"
    for trial in trials:
        alone = TrialConfig.model_validate(trial.config.model_dump(mode="python"))
        assert alone == trial.config and Trial("demo", alone).id == trial.id
        assert (trial.config.seed, trial.config.batch_size, trial.config.method.name) == (
            trial.point["seed"],
            trial.point["batch_size"],
            trial.point["method"]["name"],
        )


def test_a_wrong_seed_beside_right_ones_is_said(tmp_path: Path) -> None:
    for wrong in (-1, True, 1.0, "1"):
        with pytest.raises(ConfigError, match=r"grid.seed\[2\]"):
            expanded(tmp_path, grid={"method": METHODS[2:], "seed": [0, 1, wrong]})


def test_equal_values_of_other_types_are_no_siblings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"grid.steps\[1\]"):
        expanded(tmp_path, grid={"steps": [1, True], "seed": [0, 1]})
