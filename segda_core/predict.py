"""Applies a segmenter to images: `python -m segda_core.predict TRIAL_DIR|CHECKPOINT IMAGES... --out DIR`.

Writes, for each image and at its size, NAME_color.png (Cityscapes' colours), NAME_overlay.png and
NAME_trainIds.png (8-bit grey train ids).
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from segda_core.command import usual_errors
from segda_core.config import ProtocolName
from segda_core.data.index import IMAGE_SUFFIXES
from segda_core.data.labels import read_image
from segda_core.errors import ConfigError, DataError
from segda_core.evaluate import PROTOCOL_NAMES, weights_of
from segda_core.inference.evaluation import build_predictor
from segda_core.inference.pictures import colourise, overlay
from segda_core.process import end_on_signals
from segda_core.trials.weights import load_trained


def image_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and those directly in the folders named; `DataError` where two share a name."""
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        files += [file for file in inside if not path.is_dir() or file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise DataError("no images (" + ", ".join(IMAGE_SUFFIXES) + ")")
    name, count = Counter(file.stem for file in files).most_common(1)[0]
    if count > 1:
        raise DataError(f"{count} images are named {name}: their results would overwrite each other")
    return files


def predict(
    checkpoint: Path, images: Sequence[Path], out: Path, protocol: ProtocolName | None = None
) -> list[Path]:
    """Write three pictures of each image, by default under the trial's protocol; returns what was written."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trained = load_trained(checkpoint, device)
    evaluation = trained.config.evaluation
    predictor = build_predictor(trained.segmenter, protocol or evaluation.protocol, evaluation)
    files = image_files(images)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"--out: {out} cannot be a folder: {error.strerror}"]) from error
    written: list[Path] = []
    for file in files:
        image = read_image(file)
        train_ids = predictor.predict([image], (image.shape[1], image.shape[0]))[0].cpu().numpy()
        results = {"color": colourise(train_ids), "overlay": overlay(image, train_ids), "trainIds": train_ids}
        for kind, pixels in results.items():
            written.append(out / f"{file.stem}_{kind}.png")
            Image.fromarray(pixels).save(written[-1])
    return written


def main() -> None:
    """Predict what the command line names; problems end with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m segda_core.predict", description=__doc__)
    parser.add_argument("path", type=Path, metavar="TRIAL_DIR|CHECKPOINT")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help="files or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--protocol", choices=PROTOCOL_NAMES, help="default: the trial's own")
    arguments = parser.parse_args()
    with usual_errors():
        written = predict(weights_of(arguments.path), arguments.images, arguments.out, arguments.protocol)
        print(f"{len(written)} pictures in {arguments.out}")


if __name__ == "__main__":
    end_on_signals()
    main()
