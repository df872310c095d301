"""Resolves a trial's configuration to the images it opens, and fingerprints them."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from segda_core.config import Domain, SourceConfig, TargetConfig, TaskConfig, TrialConfig
from segda_core.data.index import (
    ImageRecord,
    Listing,
    Scan,
    expand_root,
    listed_names,
    pseudo_label_file,
    refuse,
    scan,
    with_labels,
)
from segda_core.data.subset import pick_subset, source_split
from segda_core.errors import ConfigError, DataError
from segda_core.trials.tasks import PseudoLabelConfig, TranslateConfig, parse_config


@dataclass(frozen=True)
class TrialImages:
    """The images a trial opens; what it does not open is empty."""

    source: list[ImageRecord] = field(default_factory=list)
    """Of the data profile's domains."""
    target: list[ImageRecord] = field(default_factory=list)
    """Images of the subset without their labels, in its order; beside labelled ones the rest, if any."""
    labelled: list[ImageRecord] = field(default_factory=list)
    validation: list[ImageRecord] = field(default_factory=list)
    made: list[ImageRecord] = field(default_factory=list)
    """Source images that parents made; known once these are done, and covered by their hashes."""
    pseudo_labels: Path | None = None
    """Folder with pseudo labels of `target`, which a parent made; known, and covered, as `made` is."""
    skipped: list[str] = field(default_factory=list)
    """What `on_bad: skip` left out, one sentence each."""

    @property
    def pseudo_labelled(self) -> list[ImageRecord]:
        """Images of `target` with their pseudo labels."""
        folder = self.pseudo_labels
        if folder is None:
            return []
        return [replace(record, label=pseudo_label_file(folder, record.name)) for record in self.target]

    @property
    def all_source(self) -> list[ImageRecord]:
        """Every source image, the profile's first."""
        return [*self.source, *self.made]

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


def select_images(
    config: TaskConfig, scan_domain: Scan = scan, outputs: Mapping[str, Path] | None = None
) -> TrialImages:
    """The images of one trial; `DataError` where they cannot be used.

    `outputs` are folders that parents made, by key of the stage's `from`; without them what they hold is left
    out.
    """
    outputs = outputs or {}
    images = TrialImages(pseudo_labels=outputs.get("labels"))
    if isinstance(config, TrialConfig | TranslateConfig):
        named = [source for source in config.source if isinstance(source, SourceConfig)]
        _add_source(images, named, config.data.domains, scan_domain)
    for key in (key for key in config.source_outputs if key in outputs):
        folder = Domain(layout="gta5", root=str(outputs[key]))
        images.made.extend(usable(scan_domain(folder, "train"), folder)[0])
    if isinstance(config, TrialConfig):
        domain = config.data.domains[config.target.name]
        unlabelled = bool({"target", "target_pseudo"} & set(config.streams))
        _add_target(images, config.target, domain, scan_domain, unlabelled=unlabelled)
        if config.method.trains_segmenter():
            validation, left_out = usable(scan_domain(domain, "val"), domain)
            images.validation.extend(validation)
            images.skipped.extend(left_out)
    if isinstance(config, PseudoLabelConfig):
        domain = config.data.domains[config.target.name]
        _add_target(images, config.target, domain, scan_domain, unlabelled=True)
    return images


def _add_source(
    images: TrialImages, sources: Sequence[SourceConfig], domains: Mapping[str, Domain], scan_domain: Scan
) -> None:
    for source in sources:
        domain = domains[source.name]
        train, _, left_out = split_source(scan_domain(domain, "train"), source, domain)
        images.source.extend(train)
        images.skipped.extend(left_out)


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


def _add_target(
    images: TrialImages, target: TargetConfig, domain: Domain, scan_domain: Scan, *, unlabelled: bool
) -> None:
    """The labelled images, and if they are opened so, those without labels.

    An image is in one of both, so that its label is not guessed where it is known; where all are labelled,
    each is in both.
    """
    if target.subset is None:
        return
    listing = scan_domain(domain, "train")
    images.skipped.extend(listing.skipped)
    records: Sequence[ImageRecord] = listing.records
    if domain.on_bad == "skip" and not unlabelled:
        records, missing = with_labels(records)
        images.skipped.extend(missing)
    by_name = {record.name: record for record in records}
    chosen = [by_name[name] for name in pick_subset(list(by_name), target.subset)]
    if target.labelled is not None:
        size = len(chosen) if target.labelled.size == "all" else target.labelled.size
        images.labelled.extend(_labelled(chosen, size, domain, images.skipped))
    if unlabelled:
        known = {record.name for record in images.labelled}
        rest = [record for record in chosen if record.name not in known] or chosen
        images.target.extend(replace(record, label=None) for record in rest)


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
    """SHA-256 over role, name and file sizes of every image and label, in the order trials use them.

    What parents made is left out: the parents' own hashes stand for it.
    """
    digest = hashlib.sha256()
    for role in ("source", "target", "labelled", "validation"):
        records: list[ImageRecord] = getattr(images, role)
        for record in records:
            label = -1 if record.label is None else size_of(record.label)
            digest.update(f"{role}\t{record.name}\t{size_of(record.image)}\t{label}\n".encode())
    return digest.hexdigest()


class ManifestReader:
    """Describes the images of many trials; lists each folder and opens each file once."""

    def __init__(self, find_absent_classes: bool) -> None:
        self._absent_classes = _absent_classes() if find_absent_classes else None
        self._scan, self._size = cache(scan), cache(file_size)

    def describe(self, key: str, raw: Any) -> Manifest:
        """The manifest of one unchecked trial configuration; `key` names it in problems."""
        try:
            config = parse_config(raw, key)
            images = select_images(config, self._scan)
            return Manifest(
                hash=manifest_hash(images, self._size),
                source=len(images.source),
                target=images.target_count,
                labelled=len(images.labelled),
                validation=len(images.validation),
                absent_classes=self._absent(config, images.labelled),
                skipped=images.skipped,
            )
        except (ConfigError, DataError) as error:
            return Manifest(problem=str(error))

    def _absent(self, config: TaskConfig, labelled: Sequence[ImageRecord]) -> list[str]:
        if self._absent_classes is None or not labelled or not isinstance(config, TrialConfig):
            return []
        return self._absent_classes(labelled, config.evaluation.classes)


def _absent_classes() -> Callable[[Sequence[ImageRecord], Sequence[str]], list[str]]:
    """`absent_classes`, opening each label once."""
    from segda_core.data.absent import absent_classes  # loads numpy, as long as all the rest takes
    from segda_core.data.labels import label_counts

    return partial(absent_classes, count=cache(label_counts))
