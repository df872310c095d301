"""First stage of data: finds a domain's images and their labels by name, without opening a picture."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from segda_core.config import Domain
from segda_core.errors import DataError
from segda_core.files import from_home

Split = Literal["train", "val"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
IMAGE_ENDING = "_leftImg8bit"
LABEL_ENDINGS = ("_gtFine_labelTrainIds.png", "_gtFine_labelIds.png")
"""Of the cityscapes layout; label ids win where an image has both."""

TRAIN_ID_ENDING = "_labelTrainIds.png"
"""Of labels that hold train ids; all others hold label ids."""


@dataclass(frozen=True)
class ImageRecord:
    """One image of a domain and where its label lies."""

    name: str
    """gta5: `00001`. cityscapes: `aachen/aachen_000000_000019`."""
    image: Path
    label: Path | None
    may_skip: bool = False
    """The domain's `on_bad: skip`: left out where it proves unreadable."""


@dataclass(frozen=True)
class Listing:
    """The images of one split of a domain, sorted by name."""

    records: tuple[ImageRecord, ...]
    skipped: tuple[str, ...]
    """What `on_bad: skip` left out, one sentence each."""


Scan = Callable[[Domain, Split], Listing]


def pseudo_label_file(folder: Path, name: str) -> Path:
    """Where the task `pseudo_label` writes, and a method's stream reads, the train ids of an image."""
    return folder / f"{name}{TRAIN_ID_ENDING}"


def expand_root(text: str) -> Path:
    """A domain's root: `${NAME}` and `${NAME:-default}` are the environment's, ~ is the home folder."""

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        found = os.environ.get(name) or default
        if found is None:
            raise DataError(f"{text}: the environment has no {name}; set it, or write ${{{name}:-FOLDER}}")
        return found

    return from_home(Path(re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", value, text)))


def scan(domain: Domain, split: Split) -> Listing:
    """The images of one split and what was left out; the file list restricts training images only.

    A record's label is None where there is none. gta5 has no validation split: all its images are `train`.
    """
    root = expand_root(domain.root)
    if domain.layout == "gta5":
        if split == "val":
            raise DataError(f"{root}: the gta5 layout has no validation split; use the cityscapes layout")
        images, labels = _gta5_files(root)
    else:
        images, labels = _cityscapes_files(root, split)
    skipped = refuse([fault for paths in images.values() for fault in _duplicates(paths)], domain.on_bad)
    names = sorted(images)
    if domain.list is not None and split == "train":
        listed, faults = listed_names(root / domain.list, domain.layout, images)
        names = sorted(set(listed))
        skipped += refuse(faults, domain.on_bad)
    may_skip = domain.on_bad == "skip"
    records = (ImageRecord(name, Path(min(images[name])), labels.get(name), may_skip) for name in names)
    return Listing(tuple(records), tuple(skipped))


def with_labels(records: Collection[ImageRecord]) -> tuple[list[ImageRecord], list[str]]:
    """(those that have a label, one sentence for each that has none)."""
    missing = [f"{record.image}: no label" for record in records if record.label is None]
    return [record for record in records if record.label is not None], missing


def refuse(faults: list[str], on_bad: Literal["fail", "skip"]) -> list[str]:
    """The faults themselves where bad images may be skipped, else a `DataError` with the first of them."""
    if faults and on_bad == "fail":
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}; `on_bad: skip` in the data profile leaves such images out")
    return faults


def listed_names(
    path: Path, layout: str, known: Mapping[str, object] | Collection[str]
) -> tuple[list[str], list[str]]:
    """(names of a list file that are known, one sentence for each line that is not or comes twice)."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: file list cannot be read: {error}") from error
    names: dict[str, None] = {}
    faults = []
    for number, line in enumerate(lines, start=1):
        name = _listed_name(line.strip(), layout)
        if name in names:
            faults.append(f"{path}:{number}: {line.strip()!r} is listed twice")
        elif name in known:
            names[name] = None
        elif name:
            faults.append(f"{path}:{number}: no image {line.strip()!r}; a name looks like {min(known)!r}")
    if not names:
        raise DataError(f"{path}: the file list names no image of the domain")
    return list(names), faults


def _listed_name(line: str, layout: str) -> str:
    """A line of a published list (`train/aachen/X_leftImg8bit.png`, `00001.png`) as a record's name."""
    parts = PurePosixPath(line).parts[-1 if layout == "gta5" else -2 :]
    name = "/".join(parts)
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix if suffix.lower() in IMAGE_SUFFIXES else "").removesuffix(IMAGE_ENDING)


def _duplicates(paths: list[str]) -> list[str]:
    kept, *others = sorted(paths)
    return [f"{other}: same name as {kept}" for other in others]


def _stem_and_suffix(file: str) -> tuple[str, str]:
    """The suffix in lower case; of 25 000 names in a tenth of the time that `Path` takes."""
    stem, dot, ending = file.rpartition(".")
    return stem, f"{dot}{ending}".lower()


def _gta5_files(root: Path) -> tuple[dict[str, list[str]], dict[str, Path]]:
    images: dict[str, list[str]] = {}
    for file, path in _files(root / "images"):
        stem, suffix = _stem_and_suffix(file)
        if suffix in IMAGE_SUFFIXES:
            images.setdefault(stem, []).append(path)
    if not images:
        raise DataError(f"{root / 'images'}: no images ({', '.join(IMAGE_SUFFIXES)})")
    labels = root / "labels"
    found = _files(labels) if labels.is_dir() else iter(())
    return images, {file[:-4]: Path(path) for file, path in found if file.endswith(".png")}


def _cityscapes_files(root: Path, split: str) -> tuple[dict[str, list[str]], dict[str, Path]]:
    images: dict[str, list[str]] = {}
    folder = root / "leftImg8bit" / split
    for city, file, path in _city_files(folder):
        stem, suffix = _stem_and_suffix(file)
        if suffix in IMAGE_SUFFIXES and stem.endswith(IMAGE_ENDING):
            images.setdefault(f"{city}/{stem.removesuffix(IMAGE_ENDING)}", []).append(path)
    if not images:
        raise DataError(f"{folder}: no images (CITY/*{IMAGE_ENDING}.png or .jpg)")
    labels: dict[str, Path] = {}
    fine = root / "gtFine" / split
    found = sorted(_city_files(fine)) if fine.is_dir() else []
    for ending in LABEL_ENDINGS:
        for city, file, path in found:
            if file.endswith(ending):
                labels[f"{city}/{file.removesuffix(ending)}"] = Path(path)
    return images, labels


def _city_files(folder: Path) -> Iterator[tuple[str, str, str]]:
    for city, path in _files(folder):
        if (inside := Path(path)).is_dir():
            yield from ((city, file, inner) for file, inner in _files(inside))


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, path) of each entry."""
    try:
        with os.scandir(folder) as entries:
            yield from ((entry.name, entry.path) for entry in entries)
    except OSError as error:
        raise DataError(f"{folder}: folder cannot be read: {error.strerror}") from error
