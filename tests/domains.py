"""Tiny synthetic domains on disk for tests: coloured rectangles a small network can learn.

Every image is a grid of eight rectangles. Their classes go round all 19 and one ignored id, so three
images in a row show every class. A class has one colour in the gta5 layout and a darker, tinted one in the
cityscapes layout.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segda_core.classes import LABEL_IDS, PALETTE

IGNORED_LABEL_IDS = (0, 1, 4, 9, 18, 29)
CELLS = (4, 2)
CLASSES_IN_TURN = len(LABEL_IDS) + 1


def write_gta5(root: Path, count: int, size: tuple[int, int] = (64, 32), seed: int = 0) -> None:
    """`images/00001.png` and `labels/00001.png`, and so on; size is (width, height)."""
    for index in range(count):
        image, label = draw(index, size, seed, shade=1.0, tint=0)
        save(root / "images" / f"{index + 1:05}.png", image)
        save(root / "labels" / f"{index + 1:05}.png", label)


def write_cityscapes(
    root: Path, train: int, val: int, size: tuple[int, int] = (64, 32), seed: int = 0
) -> None:
    """`leftImg8bit/SPLIT/CITY/` and `gtFine/SPLIT/CITY/` with two train cities and one validation city."""
    for index in range(train + val):
        split, city = ("train", ("aachen", "bochum")[index % 2]) if index < train else ("val", "lindau")
        stem = f"{city}/{city}_{index:06}_000019"
        image, label = draw(index, size, seed + 1, shade=0.6, tint=40)
        save(root / "leftImg8bit" / split / f"{stem}_leftImg8bit.png", image)
        save(root / "gtFine" / split / f"{stem}_gtFine_labelIds.png", label)


def draw(
    index: int, size: tuple[int, int], seed: int, shade: float, tint: int
) -> tuple[np.ndarray, np.ndarray]:
    """(RGB image, label ids) of one scene, the same for the same arguments."""
    rng = np.random.default_rng([seed, index])
    width, height = size
    columns, rows = CELLS
    first = index * columns * rows
    turn = [(first + cell) % CLASSES_IN_TURN for cell in range(columns * rows)]
    classes = rng.permutation(turn).reshape(rows, columns)
    across = np.searchsorted(_borders(rng, width, columns), np.arange(width), side="right")
    down = np.searchsorted(_borders(rng, height, rows), np.arange(height), side="right")
    cells = classes[down[:, None], across[None, :]]
    ids = np.array((*LABEL_IDS, rng.choice(IGNORED_LABEL_IDS)), dtype=np.uint8)
    colours = np.array((*PALETTE, (255, 255, 255))) * shade + (tint, 0, tint // 2)
    noise = rng.integers(-12, 13, (height, width, 3))
    return (colours[cells] + noise).clip(0, 255).astype(np.uint8), ids[cells]


def save(path: Path, pixels: np.ndarray) -> None:
    """Write one PNG, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def raw_config(root: Path, method: str = "joint", on_bad: str = "fail", **changes: Any) -> dict[str, Any]:
    """An unchecked trial configuration on `root/game` (gta5 layout) and `root/camera` (cityscapes layout)."""
    crop = {"crop": [48, 24], "jitter": 0.3}
    game = {"layout": "gta5", "root": str(root / "game"), "on_bad": on_bad}
    camera = {"layout": "cityscapes", "root": str(root / "camera"), "on_bad": on_bad}
    return {
        "data": {"name": "pair", "domains": {"game": game, "camera": camera}},
        "source": [{"name": "game"}],
        "target": {"name": "camera", "subset": {"size": 6}},
        "transforms": {"source": crop, "target": crop},
        "model": {"name": "tiny"},
        "method": {"name": method},
        "steps": 6,
        "batch_size": 4,
        "evaluation": {"size": [64, 32]},
        **changes,
    }


def _borders(rng: np.random.Generator, length: int, parts: int) -> np.ndarray:
    even = np.arange(1, parts) * length / parts
    return (even + rng.uniform(-0.2, 0.2, parts - 1) * length / parts).round()
