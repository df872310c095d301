"""How fast one core makes training samples: the public loaders' way, and ours with and without the cache.

    python benchmarks/input.py [--images 16] [--size 1914 1052] [--repeat 3]

Draws images of GTA5's size (`streets`, enlarged, with noise that makes their PNGs as long as GTA5's) into a
temporary folder. `public` is what the loaders of AdaptSegNet and its successors do for every sample: decode,
bicubic to 1280x720, labels nearest and mapped by 19 comparisons, float32 minus the mean. Our own ways end in
uint8, which the model normalises: `whole` images of that size, `crop` of 640x360 mirrored at random, and
`jitter` on top. `filling` is the first epoch with an empty cache. Processor time of one process counts, its
files in memory already; of several runs, taken in turn, the fastest. `floor` is the time a plain copy of the
sample's bytes takes at the bandwidth measured beside it.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segda_core.classes import LABEL_IDS
from segda_core.config import Domain, TrialConfig
from segda_core.data.dataset import StreamReader
from segda_core.data.index import scan
from segda_core.data.manifest import TrialImages
from segda_core.data.store import Store
from segda_core.data.streets.scene import draw_sample
from segda_core.errors import parse

RESULTS = Path(__file__).parent / "results"
SIZE = (1914, 1052)
"""Of GTA5's images."""
RESIZE, CROP = (1280, 720), (640, 360)
MEAN = np.array((104.00698793, 116.66876762, 122.67891434), dtype=np.float32)
"""BGR, as the caffe weights of the public code were trained."""
BATCH = 2
LEAST = 20.0
"""Times the public rate that samples from the cache must reach."""


@dataclass(frozen=True)
class Row:
    """One way of making samples; seconds of processor time and bytes of a sample."""

    way: str
    seconds: float
    bytes: int
    floor_seconds: float


def main() -> None:
    """Print the table and write it as JSON; exit code 1 where crops from the cache are too slow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    words = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="segda-input-") as text:
        folder = Path(text)
        length = write_images(folder, words.images, tuple(words.size))
        bandwidth = copied_per_second()
        print(f"PNGs of {length / 1e6:.2f} MB; a copy moves {bandwidth / 1e9:.1f} GB/s")
        rows = measure(folder, words.images, words.repeat, bandwidth)
    public = rows[0].seconds
    print(f"{'':<18}{'ms/image':>10}{'images/s':>10}{'x public':>10}{'floor ms':>10}{'x floor':>9}")
    for row in rows:
        print(
            f"{row.way:<18}{1e3 * row.seconds:>10.2f}{1 / row.seconds:>10.1f}{public / row.seconds:>10.1f}"
            f"{1e3 * row.floor_seconds:>10.2f}{row.seconds / row.floor_seconds:>9.1f}"
        )
    content = {
        "size": words.size,
        "png_bytes": length,
        "copied_per_second": bandwidth,
        "rows": [asdict(row) for row in rows],
    }
    words.results.mkdir(exist_ok=True)
    (words.results / "input.json").write_text(json.dumps(content, indent=1) + "\n")
    crop = next(row.seconds for row in rows if row.way == "cached crop")
    sys.exit(tuple(words.size) == SIZE and public / crop < LEAST)


def measure(folder: Path, count: int, repeat: int, bandwidth: float) -> list[Row]:
    """Every way, each in its turn, `repeat` times."""
    full, none = Store(folder / "cache", 1e12), Store(folder / "none", 0)
    plain, crop, jitter = {"mirror": False}, {"crop": CROP}, {"crop": CROP, "jitter": 0.3}
    ways: dict[str, Callable[[], Iterator[int]]] = {
        "public": lambda: public_samples(folder),
        "uncached crop": lambda: own_samples(folder, none, count, crop),
        "filling crop": lambda: own_samples(folder, emptied(folder / "filled"), count, crop),
        "cached whole": lambda: own_samples(folder, full, count, plain),
        "cached crop": lambda: own_samples(folder, full, count, crop),
        "cached crop jitter": lambda: own_samples(folder, full, count, jitter),
    }
    list(ways["cached crop"]())
    seconds = dict.fromkeys(ways, float("inf"))
    sizes = {}
    for _ in range(repeat):
        for name, way in ways.items():
            began = time.process_time()
            sizes[name] = sum(way()) // count
            seconds[name] = min(seconds[name], (time.process_time() - began) / count)
    return [Row(name, seconds[name], sizes[name], sizes[name] / bandwidth) for name in ways]


def public_samples(folder: Path) -> Iterator[int]:
    """Bytes of each sample."""
    for file in sorted((folder / "images").iterdir()):
        image, label = public_sample(file, folder / "labels" / file.name)
        yield image.nbytes + label.nbytes


def public_sample(image: Path, label: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """BGR minus mean (3, height, width) and train ids (height, width)."""
    picture = Image.open(image).convert("RGB").resize(RESIZE, Image.Resampling.BICUBIC)
    ids = np.asarray(Image.open(label).resize(RESIZE, Image.Resampling.NEAREST), np.float32)
    train_ids = 255 * np.ones(ids.shape, dtype=np.float32)
    for train_id, label_id in enumerate(LABEL_IDS):
        train_ids[ids == label_id] = train_id
    pixels = np.asarray(picture, np.float32)[:, :, ::-1] - MEAN
    return pixels.transpose(2, 0, 1).copy(), train_ids.copy()


def own_samples(folder: Path, store: Store, count: int, transform: dict[str, Any]) -> Iterator[int]:
    """Bytes of each batch of one epoch, as a loader process makes it."""
    domain = Domain(layout="gta5", root=str(folder))
    images = TrialImages(source=list(scan(domain, "train").records))
    reader = StreamReader("source", config_of(domain, transform), images, store)
    for step in range(count // BATCH):
        pixels, labels, _ = reader.batch(step, range(BATCH))
        assert labels is not None
        yield pixels.nbytes + labels.nbytes


def config_of(domain: Domain, transform: dict[str, Any]) -> TrialConfig:
    """A trial that learns this source; nothing of its target is opened."""
    source = {"resize": list(RESIZE), **{key: as_list(value) for key, value in transform.items()}}
    own, target = domain.model_dump(mode="json"), {"layout": "cityscapes", "root": "none"}
    raw: dict[str, Any] = {
        "data": {"name": "large", "domains": {"source": own, "target": target}},
        "source": [{"name": "source"}],
        "target": {"name": "target"},
        "transforms": {"source": source},
        "model": {"name": "tiny"},
        "method": {"name": "source_only"},
        "steps": 1000,
        "batch_size": BATCH,
        "evaluation": {"size": [1024, 512]},
    }
    return parse(TrialConfig, raw, "input")


def as_list(value: Any) -> Any:
    """As YAML would have it."""
    return list(value) if isinstance(value, tuple) else value


def emptied(folder: Path) -> Store:
    """A cache that holds nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    return Store(folder, 1e12)


def write_images(folder: Path, count: int, size: tuple[int, int]) -> int:
    """Images and labels in GTA5's layout; the mean length of an image's file."""
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(count):
        picture, ids = draw_sample("render", number)
        name = f"{number + 1:05}.png"
        large = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC), np.int16)
        noisy = large + np.random.default_rng(number).integers(-1, 2, large.shape, dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / "images" / name)
        label = Image.fromarray(ids).resize(size, Image.Resampling.NEAREST)
        label.save(folder / "labels" / name)
    return sum(file.stat().st_size for file in (folder / "images").iterdir()) // count


def copied_per_second() -> float:
    """Bytes of a large array, copied on one core."""
    block = np.ones(64 * 2**20, dtype=np.uint8)
    copy = np.empty_like(block)
    times = []
    for _ in range(10):
        began = time.process_time()
        np.copyto(copy, block)
        times.append(time.process_time() - began)
    return block.nbytes / min(times)


if __name__ == "__main__":
    main()
