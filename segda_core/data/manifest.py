"""Resolves a trial's configuration to the images it opens, and fingerprints them."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from segda_core.classes import CLASSES
from segda_core.config import Domain, SourceConfig, TrialConfig
from segda_core.data.index import (
    ImageRecord,
    Listing,
    Scan,
    expand_root,
    listed_names,
    refuse,
    scan,
    with_labels,
)
from segda_core.data.labels import Counts, label_counts
from segda_core.data.subset import pick_subset, source_split
from segda_core.errors import ConfigError, DataError, parse


@dataclass(frozen=True)
class TrialImages:
    """The images a trial opens; what its method does not open is empty."""

    source: list[ImageRecord]
    target: list[ImageRecord]
    """Images of the subset without their labels, in its order; beside labelled ones the rest, if any."""
    labelled: list[ImageRecord]
    validation: list[ImageRecord]
    skipped: list[str]
    """What `on_bad: skip` left out, one sentence each."""

    @property
    def target_count(self) -> int:
        """Number of target training images opened, labelled or not."""
        return len({record.name for record in (*self.target, *self.labelled)})


@dataclass(frozen=True)
class Manifest:
    """What the launcher needs to know of a trial's images."""

    hash: str = ""
    source: int = 0
    target: int = 0
    """Target training images opened, labelled or not."""
    labelled: int = 0
    validation: int = 0
    absent_classes: Sequence[str] = ()
    """Declared classes that no labelled target image shows; empty unless asked for."""
    skipped: Sequence[str] = ()
    problem: str | None = None
    """Why the images cannot be used; then the rest is empty."""


def select_images(config: TrialConfig, scan_domain: Scan = scan) -> TrialImages:
    """The images of one trial; `DataError` where they cannot be used."""
    skipped: list[str] = []
    source: list[ImageRecord] = []
    for item in config.source:
        listing = scan_domain(config.data.domains[item.name], "train")
        train, _, left_out = split_source(listing, item, config.data.domains[item.name])
        source += train
        skipped += left_out
    target, labelled = _target_images(config, scan_domain, skipped)
    domain = config.data.domains[config.target.name]
    validation, left_out = usable(scan_domain(domain, "val"), domain)
    return TrialImages(source, target, labelled, validation, skipped + left_out)


def split_source(
    listing: Listing, source: SourceConfig, domain: Domain
) -> tuple[list[ImageRecord], list[ImageRecord], list[str]]:
    """(train, held out, left out) of one source domain."""
    records, skipped = usable(listing, domain)
    holdout: Any = source.holdout
    if isinstance(holdout, str):
        names = {record.name for record in listing.records}
        holdout, faults = listed_names(expand_root(domain.root) / holdout, domain.layout, names)
        skipped += refuse(faults, domain.on_bad)
    train, held_out = source_split(records, holdout)
    return train, held_out, skipped


def usable(listing: Listing, domain: Domain) -> tuple[list[ImageRecord], list[str]]:
    """(records with a label, what was left out), where every image needs a label."""
    records, missing = with_labels(listing.records)
    skipped = [*listing.skipped, *refuse(missing, domain.on_bad)]
    if not records:
        raise DataError(f"{expand_root(domain.root)}: none of {len(listing.records)} images has a label")
    return records, skipped


def _target_images(
    config: TrialConfig, scan_domain: Scan, skipped: list[str]
) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """(images without labels, labelled images) as far as the method opens them.

    An image is in one of both, so that its label is not guessed where it is known; where all are labelled,
    each is in both.
    """
    subset, wanted = config.target.subset, config.target.labelled
    if subset is None:
        return [], []
    domain = config.data.domains[config.target.name]
    listing = scan_domain(domain, "train")
    skipped += listing.skipped
    records: Sequence[ImageRecord] = listing.records
    unlabelled = "target" in config.streams
    if domain.on_bad == "skip" and not unlabelled:
        records, missing = with_labels(records)
        skipped += missing
    by_name = {record.name: record for record in records}
    chosen = [by_name[name] for name in pick_subset(list(by_name), subset)]
    labelled = []
    if wanted is not None:
        labelled = _labelled(chosen, len(chosen) if wanted.size == "all" else wanted.size, domain, skipped)
    known = {record.name for record in labelled}
    rest = [record for record in chosen if record.name not in known] or chosen
    return [replace(record, label=None) for record in rest] if unlabelled else [], labelled


def _labelled(chosen: list[ImageRecord], size: int, domain: Domain, skipped: list[str]) -> list[ImageRecord]:
    """The first `size` images of the subset, or with `on_bad: skip` the first that have labels."""
    records, missing = with_labels(chosen if domain.on_bad == "skip" else chosen[:size])
    skipped += refuse(missing, domain.on_bad)
    if len(records) < size:
        raise DataError(f"target.labelled.size is {size}, but only {len(records)} images have a label")
    return records[:size]


def file_size(path: Path) -> int:
    """Bytes of one file; `DataError` where it is missing."""
    try:
        return os.stat(path).st_size  # noqa: PTH116  # twice as fast as Path.stat over 50 000 files
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error


def manifest_hash(images: TrialImages, size_of: Callable[[Path], int] = file_size) -> str:
    """SHA-256 over role, name and file sizes of every image and label, in the order trials use them."""
    digest = hashlib.sha256()
    for role in ("source", "target", "labelled", "validation"):
        records: list[ImageRecord] = getattr(images, role)
        for record in records:
            label = -1 if record.label is None else size_of(record.label)
            digest.update(f"{role}\t{record.name}\t{size_of(record.image)}\t{label}\n".encode())
    return digest.hexdigest()


def absent_classes(
    records: Sequence[ImageRecord],
    classes: Sequence[str],
    count: Callable[[Path], tuple[tuple[int, int], Counts]] = label_counts,
) -> list[str]:
    """Classes without one labelled pixel in the records; reads labels until every class was seen."""
    missing = set(classes)
    for record in records:
        if not missing:
            break
        if record.label is not None:
            _, pixels = count(record.label)
            missing -= {name for name in missing if pixels[CLASSES.index(name)]}
    return [name for name in classes if name in missing]


class ManifestReader:
    """Describes the images of many trials; lists each folder and opens each file once."""

    def __init__(self, find_absent_classes: bool) -> None:
        self._find_absent_classes = find_absent_classes
        self._scan, self._size, self._counts = cache(scan), cache(file_size), cache(label_counts)

    def describe(self, key: str, raw: Any) -> Manifest:
        """The manifest of one unchecked trial configuration; `key` names it in problems."""
        try:
            config = parse(TrialConfig, raw, key)
            images = select_images(config, self._scan)
            labelled = images.labelled if self._find_absent_classes else []
            classes = config.evaluation.classes if labelled else ()
            return Manifest(
                hash=manifest_hash(images, self._size),
                source=len(images.source),
                target=images.target_count,
                labelled=len(images.labelled),
                validation=len(images.validation),
                absent_classes=absent_classes(labelled, classes, self._counts),
                skipped=images.skipped,
            )
        except (ConfigError, DataError) as error:
            return Manifest(problem=str(error))
