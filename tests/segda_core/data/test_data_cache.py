"""`segda data cache build`, `list` and `clear`, as the launcher starts them."""

import json
import subprocess
import sys

import pytest
import yaml
from test_data_check import write_profile

from segda_core.data.cache import build, kept
from segda_core.data.loader import build_loader
from segda_core.data.manifest import select_images
from segda_core.data.store import Store

TRANSFORMS = {"source": {"resize": [40, 20], "crop": [24, 16]}, "target": {"crop": [24, 16]}}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGDA_CACHE", str(tmp_path / "cache"))
    return Store(tmp_path / "cache", 1e9)


@pytest.fixture
def profile(pair):
    path = write_profile(pair)
    content = yaml.safe_load(path.read_text())
    content["trial"]["transforms"] = TRANSFORMS
    path.write_text(yaml.safe_dump(content))
    return path


def test_build_keeps_all_that_a_trial_opens(pair, profile, store, configure, monkeypatch):
    assert build(profile, store) == []
    rows = {(row.domain, row.size): row.files for row in kept(store)}
    assert rows == {
        (str(pair / "game"), "40x20"): 9 * 2,  # a quarter is held out
        (str(pair / "camera"), "file size"): 10 * 2 + 4 * 2,
    }
    before = [(entry.path, entry.used) for entry in store.entries()]
    assert build(profile, store) == []
    assert [(entry.path, entry.used) for entry in store.entries()] == before
    monkeypatch.setattr("segda_core.data.decoded.read_image", None)
    monkeypatch.setattr("segda_core.data.decoded.read_label", None)
    config = configure(pair, source=[{"name": "game", "holdout": 0.25}], transforms=TRANSFORMS)
    assert len(list(build_loader(config, select_images(config)))) == 6


def test_build_names_what_it_skips(pair, profile, store):
    damaged = pair / "camera/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    damaged.write_bytes(damaged.read_bytes()[:-60])
    content = yaml.safe_load(profile.read_text())
    content["domains"]["camera"]["on_bad"] = "skip"
    profile.write_text(yaml.safe_dump(content))
    [fault] = build(profile, store)
    assert fault.startswith(f"{damaged}: cannot be read")


@pytest.mark.processes
def test_the_commands(pair, profile, store):
    def segda(*words):
        command = [sys.executable, "-m", "launcher.cli", "data", "cache", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    built = segda("build", str(profile))
    assert (built.returncode, built.stderr) == (0, "")
    listed = json.loads(segda("list", "--json").stdout)
    assert listed["folder"] == str(store.root)
    assert listed["budget_bytes"] == 120e9
    assert sorted(row["files"] for row in listed["kept"]) == [18, 28]
    assert "of 120 GB" in segda("list").stdout
    cleared = segda("clear")
    assert (cleared.returncode, list(store.entries())) == (0, [])
    assert "GB freed" in cleared.stdout
    damaged = pair / "camera/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    damaged.write_bytes(b"")
    failed = segda("build", str(profile))
    assert failed.returncode == 2 and f"{damaged}: cannot be read" in failed.stderr
