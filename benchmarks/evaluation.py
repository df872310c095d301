"""How long evaluation takes per image after the network: upsampling, highest score, label mapping, counting.

    python benchmarks/evaluation.py [--size 2048 1024] [--threads 1] [--repeat 5]

Public: AdaptSegNet's path, which is MRNet's too: nn.Upsample of 19 channels, numpy's argmax over the last
axis, a comparison for each of 35 label ids, numpy's bincount. Ours: `segda_core.inference.evaluation`. Both
get the same scores (`single`: 1/8 of the label's size; `p_mr`: four passes); matrices must be equal.
Fields are low-pass noise; `mixed` is the share of cells whose corners have different classes (of labels of
carla and camvid at 256 x 128: 7 % and 11 %), and `noise` is the worst there can be. `floor` is reading scores
and labels and writing train ids once, `whole` writing and reading all scores at label size, at the measured
bandwidth. Of several runs the fastest counts, since what else the machine does only ever adds; on CPUs it is
processor time, for the same reason.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from segda_core.classes import LABEL_IDS, NUM_CLASSES
from segda_core.config import Size
from segda_core.data.labels import FROM_LABEL_IDS, Pixels, to_train_ids
from segda_core.inference.upsampling import Layer, classes_of
from segda_core.inference.winners import classes_at_label_size
from segda_core.metrics import confusion_matrices
from segda_core.transfer import moved

RESULTS = Path(__file__).parent / "results"
FIELDS = {"calm": 192, "busy": 96, "noise": 8}
"""Label pixels between the random values of a field."""
PASSES = {"single": ((8.0, False),), "p_mr": ((16.0, False), (16.0, True), (12.8, False), (12.8, True))}
"""Label pixels for one of the network's, and mirrored or not, of each pass; several add probabilities."""
BANDWIDTH_BYTES = 1 << 28
PUBLIC_MAPPING = np.array([(label, FROM_LABEL_IDS[label]) for label in (*range(34), -1)], dtype=np.int64)
"""Rows of label id and train id, as the releases hold what they read from their `info.json`. With 64-bit
entries numpy 2 compares in 64 bits, which earlier numpy did not; here that takes twice as long."""


@dataclass(frozen=True)
class Row:
    """One field and protocol; seconds per image."""

    field: str
    passes: str
    mixed: float
    public_upsampling: float
    public_counting: float
    upsampling: float
    counting: float
    floor: float
    whole: float

    @property
    def faster(self) -> float:
        """Public over ours."""
        return (self.public_upsampling + self.public_counting) / (self.upsampling + self.counting)


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(2048, 1024), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--threads", type=int, default=1, help="on CPUs; a trial's default")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {words.threads} threads"
    rate = bandwidth(device)
    print(f"{name}, {rate / 1e9:.1f} GB/s; ms per image of {words.size[0]} x {words.size[1]}")
    print(f"{'':<14}{'mixed':>7}{'public':>9}{'ours':>8}{'faster':>8}{'floor':>8}{'whole':>8}", flush=True)
    rows = []
    for field in FIELDS:
        for passes in PASSES:
            rows.append(measure(field, passes, words, device, rate))
            print(line(rows[-1]), flush=True)
    content = {
        "device": name,
        "size": words.size,
        "bandwidth": rate,
        "rows": [{**asdict(row), "faster": row.faster} for row in rows],
    }
    words.results.mkdir(exist_ok=True)
    (words.results / "evaluation.json").write_text(json.dumps(content, indent=1) + "\n")


def line(row: Row) -> str:
    """One line of the table."""
    times = [row.public_upsampling + row.public_counting, row.upsampling + row.counting]
    return (
        f"{row.field:<7}{row.passes:<7}{row.mixed:>6.1%}{1e3 * times[0]:>10.1f}{1e3 * times[1]:>8.1f}"
        f"{row.faster:>8.1f}{1e3 * row.floor:>8.2f}{1e3 * row.whole:>8.1f}"
    )


def measure(field: str, passes: str, words: argparse.Namespace, device: torch.device, rate: float) -> Row:
    """Both paths on one image, stage by stage."""
    size: Size = (words.size[0], words.size[1])
    scores = [each.to(device) for each in scores_of_passes(size, field, passes)]
    mirrored = [mirror for _, mirror in PASSES[passes]]
    label = label_ids(size)

    public_seconds, public = fastest(lambda: public_prediction(scores, mirrored, size), words.repeat)
    seconds, prediction = fastest(lambda: our_prediction(scores, mirrored, size), words.repeat)
    public_counting, public_matrix = fastest(lambda: public_counts(label, public), words.repeat)
    counting, matrix = fastest(lambda: our_counts(label, prediction), words.repeat)
    different = np.abs(public_matrix - matrix).sum() // 2  # on GPUs and without FMA last bits may differ
    assert different <= 1e-5 * label.size, f"{field}, {passes}: {different} pixels differ"
    read = sum(each.nbytes for each in scores) + label.nbytes
    return Row(
        field=field,
        passes=passes,
        mixed=share_of_mixed_cells(scores[0]),
        public_upsampling=public_seconds,
        public_counting=public_counting,
        upsampling=seconds,
        counting=counting,
        floor=(read + prediction.nbytes) / rate,
        whole=2 * 4 * NUM_CLASSES * len(scores) * label.size / rate,
    )


def fastest(run: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Seconds of the fastest of several runs, which end when the device is done, and what they return."""
    seconds = []
    for _ in range(repeat):
        began = now()
        result = run()
        seconds.append(now() - began)
    return min(seconds), result


def now() -> float:
    """Seconds, once the GPU has done what it was given; on CPUs of this process alone."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def low_pass_noise(size: Size, factor: float, correlation: int) -> Tensor:
    """Scores (1, 19, height, width) of a network whose output is 1/factor of the label, one value more."""
    width, height = (round(side / factor) + 1 for side in size)
    coarse = [max(2, round(side / correlation)) for side in size[::-1]]
    noise = torch.randn(1, NUM_CLASSES, *coarse, generator=torch.Generator().manual_seed(0))
    return 3 * functional.interpolate(noise, size=(height, width), mode="bicubic", align_corners=True)


def scores_of_passes(size: Size, field: str, passes: str) -> list[Tensor]:
    """One field as every pass sees it; several passes give probabilities."""
    several = len(PASSES[passes]) > 1
    scores = [low_pass_noise(size, factor, FIELDS[field]) for factor, _ in PASSES[passes]]
    scores = [
        each.flip(-1) if mirror else each for each, (_, mirror) in zip(scores, PASSES[passes], strict=True)
    ]
    return [each.softmax(dim=1) for each in scores] if several else scores


def label_ids(size: Size) -> Pixels:
    """A label of smooth regions with the ids of files, a twentieth of them without a class."""
    scores = low_pass_noise(size, 8.0, FIELDS["calm"])
    scores = functional.interpolate(scores, size=size[::-1], mode="nearest")
    ids = np.array([*LABEL_IDS[:-1], 3], dtype=np.uint8)  # the last class stands for the unlabelled
    label: Pixels = ids[classes_of(scores)[0].numpy()]
    return label


def share_of_mixed_cells(scores: Tensor) -> float:
    """Share of the squares of four neighbours that are not of one class."""
    classes = classes_of(scores)[0]
    corners = torch.stack([classes[:-1, :-1], classes[1:, :-1], classes[:-1, 1:], classes[1:, 1:]])
    return float((corners != corners[0]).any(dim=0).float().mean())


def public_prediction(scores: list[Tensor], mirrored: list[bool], size: Size) -> Pixels:
    """As `evaluate_cityscapes.py` does: all scores at label size, then to the host and numpy."""
    upsample = nn.Upsample(size=size[::-1], mode="bilinear", align_corners=True)
    total: Tensor | float = 0.0
    for each, mirror in zip(scores, mirrored, strict=True):
        full = upsample(each)
        total = total + (full.flip(-1) if mirror else full) if len(scores) > 1 else full
    assert isinstance(total, Tensor)
    output = total.cpu().numpy()[0].transpose(1, 2, 0)
    return np.asarray(np.argmax(output, axis=2), dtype=np.uint8)


def our_prediction(scores: list[Tensor], mirrored: list[bool], size: Size) -> Tensor:
    """As the predictor does."""
    layers = [
        Layer.at_size(each, size[::-1], padding=(0, 0), align_corners=True, mirror=mirror)
        for each, mirror in zip(scores, mirrored, strict=True)
    ]
    return classes_at_label_size(layers)


def public_counts(label: Pixels, prediction: Pixels) -> NDArray[np.int64]:
    """As `compute_iou.py` does."""
    truth = np.copy(label)
    for label_id, train_id in PUBLIC_MAPPING:
        truth[label == label_id] = train_id
    truths, predicted = truth.astype(np.int64).flatten(), prediction.flatten()
    known = (truths >= 0) & (truths < NUM_CLASSES)
    cells = NUM_CLASSES * truths[known].astype(int) + predicted[known]
    counts: NDArray[np.int64] = np.bincount(cells, minlength=NUM_CLASSES**2)
    return counts.reshape(NUM_CLASSES, NUM_CLASSES)


def our_counts(label: Pixels, prediction: Tensor) -> NDArray[np.int32]:
    """As data readers and evaluation do."""
    truths = moved(torch.from_numpy(to_train_ids(label))[None], prediction.device)
    matrix: NDArray[np.int32] = confusion_matrices(truths, prediction)[0].cpu().numpy()
    return matrix


def bandwidth(device: torch.device) -> float:
    """Bytes per second of copying, read and written."""
    source = torch.zeros(BANDWIDTH_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds, _ = fastest(lambda: target.copy_(source), 5)
    return 2 * BANDWIDTH_BYTES / seconds


if __name__ == "__main__":
    main()
