"""The README's commands, each run with fewer steps; a command the README gains or loses fails here first."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
SEGDA = f"{sys.executable} -m launcher.cli"
REDUCED = "--runs runs --set steps=2 --only target.subset.size=10 --only seed=0 --only method=joint"

INSTEAD = {
    "make sweep SWEEP=target_size": (f'make -C "{ROOT}" sweep SWEEP=target_size ARGS="{{reduced}}"', 0),
    "make test": (f'make -C "{ROOT}" --dry-run test', 0),
    "segda data check gta5_cityscapes": (f"{SEGDA} data check gta5_cityscapes", 1),
    "segda sweep target_size --data gta5_cityscapes --dry-run": (
        f"{SEGDA} sweep target_size --data gta5_cityscapes --dry-run",
        2,
    ),
    "segda sweep real_pair": (f"{SEGDA} sweep real_pair", 2),
    "segda evaluate TRIAL --protocol p_mr": (f"{SEGDA} evaluate joint-streets-n10-s0 --protocol mirror", 0),
    "segda quality target_size": (f"{SEGDA} quality target_size", 0),
    "segda predict TRIAL photos/ --out predictions": (
        f"{SEGDA} predict joint-streets-n10-s0 "
        '"$SEGDA_DATA"/streets-v1/camera/leftImg8bit/val/*/*1_leftImg8bit.png --out predictions',
        0,
    ),
}
"""README's command -> the one run here, and its exit code. The papers' images are never there: it says so."""

EXPECTED = {
    "make sweep SWEEP=target_size": "target_size: done",
    "make test": "-m pytest",
    "segda data check gta5_cityscapes": "gta5",
    "segda sweep target_size --data gta5_cityscapes --dry-run": "gta5",
    "segda sweep real_pair": "carla",
    "segda evaluate TRIAL --protocol p_mr": "mIoU",
    "segda quality target_size": "regret",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def commands() -> list[str]:
    lines = re.findall(r"^    ((?:make|segda) .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return [re.split(r"\s{2,}#", line)[0].strip() for line in lines]


def test_every_command_of_the_readme_is_run_here() -> None:
    assert commands() == list(INSTEAD)


@pytest.mark.parametrize("command", INSTEAD)
def test_it_does_what_the_readme_says(command: str, folder: Path, drawn_data: Path) -> None:
    """In order: the sweep draws the images, unless they are there, and makes the later commands' weights."""
    if command.startswith("make") and not (ROOT / ".venv" / "installed").exists():
        pytest.skip("the Makefile's .venv is not installed; make setup")
    words, code = INSTEAD[command]
    environment = {
        **os.environ,
        "SEGDA_DATA": str(drawn_data),
        "SEGDA_RUNTIME_DIR": str(folder / "locks"),
        "COLUMNS": "200",
    }
    reduced = REDUCED.replace("--runs runs", f"--runs {folder / 'runs'}")
    done = subprocess.run(
        words.replace("{reduced}", reduced),
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    assert EXPECTED.get(command, "") in output
    if command.startswith("segda predict"):
        assert list((folder / "predictions").rglob("*.png"))
