"""The task `pseudo_label`: a parent's segmenter labels the trial's own target subset.

After Seg-Uncertainty (Zheng & Yang, IJCV 2021): predictions under the trial's protocol, at the image's size
or a smaller one, of every pixel or of those with a confidence from `threshold` on. True labels are never
opened.
"""

from functools import partial
from pathlib import Path

import torch

from segda_core.classes import IGNORE_INDEX
from segda_core.data.index import ImageRecord, pseudo_label_file
from segda_core.data.labels import Pixels, read_image
from segda_core.data.manifest import TrialImages
from segda_core.errors import load_yaml, parse
from segda_core.inference.evaluation import build_predictor
from segda_core.inference.pictures import png
from segda_core.inference.predictor import Predictor
from segda_core.process import StopRequest
from segda_core.trials.heartbeat import Heartbeat
from segda_core.trials.layout import AttemptFiles, TrialFiles
from segda_core.trials.made_files import Product, run_file_task
from segda_core.trials.start import Start
from segda_core.trials.tasks import PseudoLabelConfig
from segda_core.trials.weights import load_trained


def run_attempt(trial: TrialFiles, files: AttemptFiles, stop: StopRequest, heartbeat: Heartbeat) -> None:
    """Run this rank of the attempt."""
    config = parse(PseudoLabelConfig, load_yaml(trial.config), str(trial.config))
    run_file_task(config, trial, files, stop, heartbeat, partial(labels_of_target, config))


def labels_of_target(
    config: PseudoLabelConfig, start: Start, images: TrialImages, device: torch.device
) -> Product:
    """The labels of every image of the subset."""
    segmenter = load_trained(start.paths["network"], device).segmenter
    predictor = build_predictor(segmenter, config.evaluation.protocol, config.evaluation)

    def names(record: ImageRecord) -> tuple[str, ...]:
        return (pseudo_label_file(Path(), record.name).as_posix(),)

    def make(record: ImageRecord) -> dict[str, bytes]:
        labels = pseudo_labels(predictor, read_image(record.image), config)
        return dict.fromkeys(names(record), png(labels))

    return Product("labels", images.target, names, make, {"target_images": images.target_count})


def pseudo_labels(predictor: Predictor, image: Pixels, config: PseudoLabelConfig) -> Pixels:
    """Train ids (height, width) of one RGB image; 255 where the confidence is too low."""
    size = config.size or image.shape[1::-1]
    if config.threshold is None:
        labels = predictor.predict([image], size)
    else:
        confidence, classes = predictor.confidence([image], size)
        labels = classes.masked_fill_(confidence < config.threshold, IGNORE_INDEX)
    pixels: Pixels = labels[0].cpu().numpy()
    return pixels
