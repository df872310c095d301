"""Sweep files on disk for tests: a data profile `toy` without images, and what a test writes beside it."""

from pathlib import Path
from typing import Any

import yaml

from launcher.sweep import Expansion, Sweep, expand, load_sweep

TOY_PROFILE: dict[str, Any] = {
    "name": "toy",
    "domains": {
        "render": {"layout": "gta5", "root": "render"},
        "camera": {"layout": "cityscapes", "root": "camera"},
    },
    "ladder": [10, 40, 160],
    "trial": {
        "source": [{"name": "render"}],
        "target": {"name": "camera"},
        "transforms": {"source": {"crop": [64, 32]}, "target": {"crop": [64, 32]}},
        "model": {"name": "tiny"},
        "evaluation": {"size": [64, 32], "classes": ["road", "car"]},
    },
}

METHODS = [{"name": "source_only"}, {"name": "supervised"}, {"name": "joint"}, {"name": "adaptsegnet"}]


def write_profile(folder: Path, **changes: Any) -> Path:
    """`sweeps/data/NAME.yaml` below a folder: the toy profile with changes."""
    profile = {**TOY_PROFILE, **changes}
    path = folder / "sweeps" / "data" / f"{profile['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(profile, sort_keys=False))
    return path


def write_sweep(folder: Path, name: str = "demo", **content: Any) -> Path:
    """`sweeps/NAME.yaml` below a folder, on the toy profile unless it says otherwise."""
    path = folder / "sweeps" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"name": name, "data": "toy", "base": {"steps": 5, "method": {"name": "joint"}}, **content}
    path.write_text(
        yaml.safe_dump({key: value for key, value in whole.items() if value is not None}, sort_keys=False)
    )
    if not (folder / "sweeps" / "data" / "toy.yaml").exists():
        write_profile(folder)
    return path


def load(folder: Path, *overrides: str, **content: Any) -> Sweep:
    """A sweep `demo` of this content, read from disk."""
    return load_sweep(str(write_sweep(folder, **content)), overrides=overrides)


def expanded(folder: Path, *overrides: str, **content: Any) -> Expansion:
    """Its trials."""
    return expand(load(folder, *overrides, **content))
