"""The task `translate`: a parent's network makes a new source of an old one, in GTA5's layout.

Whole images pass through the network, at their own size or at `size`, and are brought to the size of their
labels, which are copied. What is held out of a source is not translated.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segda_core.data.index import ImageRecord
from segda_core.data.labels import Pixels, label_ids_file, label_size, read_image
from segda_core.data.manifest import TrialImages
from segda_core.data.transforms import resize
from segda_core.errors import DataError, load_yaml, parse
from segda_core.inference.pictures import png
from segda_core.models.cyclegan import from_unit, to_unit
from segda_core.process import StopRequest
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.made_files import Product, run_file_task
from segda_core.trials.start import Start
from segda_core.trials.tasks import TranslateConfig
from segda_core.trials.weights import load_generator


def run_attempt(trial: TrialFiles, files: AttemptFiles, stop: StopRequest, heartbeat: Heartbeat) -> None:
    """Run this rank of the attempt."""
    config = parse(TranslateConfig, load_yaml(trial.config), str(trial.config))
    run_file_task(config, trial, files, stop, heartbeat, partial(translated_source, config))


def translated_source(
    config: TranslateConfig, start: Start, images: TrialImages, device: torch.device
) -> Product:
    """Image and label of every source image."""
    generator = load_generator(start.paths["network"], device)
    _refuse_equal_names(images.source)

    def make(record: ImageRecord) -> dict[str, bytes]:
        assert record.label is not None
        image = read_image(record.image)
        if config.size is not None:
            image = resize(image, config.size)
        made = resize(translated(generator, image), label_size(record.label))
        return dict(zip(names(record), (png(made), label_ids_file(record.label)), strict=True))

    return Product("images", images.source, names, make, {"source_images": len(images.source)})


def names(record: ImageRecord) -> tuple[str, ...]:
    """Image and label below the new source's folder, which has none for cities."""
    name = record.name.replace("/", "_")
    return f"images/{name}.png", f"labels/{name}.png"


@torch.no_grad()
def translated(generator: nn.Module, image: Pixels) -> Pixels:
    """RGB (height, width, 3) of the same size."""
    device = next(generator.parameters()).device
    inputs = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].to(device)
    pixels: Pixels = from_unit(generator(to_unit(inputs)))[0].permute(1, 2, 0).cpu().numpy()
    return pixels


def _refuse_equal_names(records: Sequence[ImageRecord]) -> None:
    counts = Counter(names(record)[0] for record in records)
    if equal := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(
            f"{len(equal)} images of different sources have the same name, the first {Path(equal[0]).stem}; "
            "translate each source in a stage of its own"
        )
