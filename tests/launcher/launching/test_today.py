"""Which results are stale is found for every finished trial, by looking each choice of images up once."""

from pathlib import Path

import pytest
from trials import small_config, write_domains

from launcher.launching.today import read_today
from launcher.trial import Trial
from launcher.trials.prepare import prepare
from segda_core.files import write_json
from segda_core.trials.layout import TrialFiles

pytestmark = pytest.mark.processes


def finish(folder: Path, method: str, **changes: object) -> TrialFiles:
    files = prepare(Trial("sweep", small_config(folder, method, **changes)), folder / "runs")
    write_json(files.metrics, {})
    return files


def test_finished_trials_have_the_hash_of_their_images(tmp_path: Path) -> None:
    write_domains(tmp_path)
    joint = [finish(tmp_path, "joint", seed=seed) for seed in range(3)]
    source_only = finish(tmp_path, "source_only")
    broken, old = finish(tmp_path, "joint", steps=7), finish(tmp_path, "supervised")
    broken.config.unlink()
    old.config.write_text(old.config.read_text().replace("steps: 6", "epochs: 6"))
    prepare(Trial("sweep", small_config(tmp_path, "joint", seed=9)), tmp_path / "runs")  # not finished
    hashes = read_today([tmp_path / "runs" / "sweep"]).manifest_hashes
    assert set(hashes) == {files.root.name for files in [*joint, source_only]}
    assert len({hashes[files.root.name] for files in joint}) == 1
    assert hashes[source_only.root.name] != hashes[joint[0].root.name]
