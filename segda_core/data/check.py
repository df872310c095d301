"""Opens every image and label of a data profile before anything trains on them, and says what is wrong."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.progress import track
from rich.table import Column, Table
from rich.text import Text

from segda_core.classes import CLASSES, NUM_CLASSES
from segda_core.config import Domain, OutputConfig, Profile, SourceConfig, TrialConfig
from segda_core.data.index import ImageRecord, Split, scan
from segda_core.data.labels import Counts, label_counts, read_image
from segda_core.data.manifest import split_source
from segda_core.errors import ConfigError, DataError, load_yaml, parse


@dataclass(frozen=True)
class SplitReport:
    """What was found in one split of a domain."""

    name: str
    images: int
    sizes: dict[str, int]
    """`480x360` -> number of images."""
    resized: int
    """Labels of another size than their image: training resizes them."""
    pixels: dict[str, int]
    """Labelled pixels of each class."""
    images_with: dict[str, int]
    """Images that show each class."""

    def share(self, name: str) -> float:
        """Part of the labelled pixels that is this class, 0 where nothing is labelled."""
        return self.pixels[name] / max(1, sum(self.pixels.values()))


@dataclass
class Report:
    """The check of one profile, filled split by split."""

    profile: str
    classes: tuple[str, ...]
    """Those the profile's mIoU is averaged over."""
    splits: list[SplitReport]
    problems: list[str]
    skipped: list[str]
    """Problems of domains with `on_bad: skip`: such images are left out."""
    notes: list[str]
    """Files worth knowing of that training can use."""


@dataclass(frozen=True)
class Inspection:
    """One image and its label, opened."""

    size: tuple[int, int] | None = None
    counts: Counts | None = None
    fault: str | None = None
    note: str | None = None
    unlabelled: bool = False


def check_profile(path: Path) -> Report:
    """Open every image of a profile; broken ones become problems, a broken profile raises `ConfigError`."""
    profile, config = example_trial(path)
    domains = config.data.domains
    report = Report(config.data.name, config.evaluation.classes, [], [], [], [])
    for source in named_sources(config):
        _check_source(report, source, domains[source.name])
    target = config.target.name
    for split in ("train", "val"):
        _check_split(report, target, domains[target], split)
    validation = [split for split in report.splits if split.name == f"{target} val"]
    report.problems += [
        f"class {name!r} is declared in evaluation.classes, but no validation label shows it"
        for split in validation
        for name in report.classes
        if not split.images_with[name]
    ]
    pool = next((split.images for split in report.splits if split.name == f"{target} train"), None)
    report.problems += [
        f"ladder: {size} is more than the {pool} training images of {target}"
        for size in profile.ladder
        if pool is not None and isinstance(size, int) and size > pool
    ]
    return report


def example_trial(path: Path) -> tuple[Profile, TrialConfig]:
    """A profile, and a trial of it whose method opens images and labels of both domains."""
    profile = parse(Profile, load_yaml(path), str(path))
    data = profile.data.model_dump(mode="json")
    config = parse(
        TrialConfig, {**profile.trial, "method": {"name": "joint"}, "steps": 1, "data": data}, str(path)
    )
    if any(isinstance(source, OutputConfig) for source in config.source):
        raise ConfigError([f"{path}: trial.source: an output is a stage's; name a domain of the profile"])
    return profile, config


def named_sources(config: TrialConfig) -> list[SourceConfig]:
    """The sources that are domains of the profile."""
    return [source for source in config.source if isinstance(source, SourceConfig)]


def _check_source(report: Report, source: SourceConfig, domain: Domain) -> None:
    lenient = domain.model_copy(update={"on_bad": "skip"})
    try:
        listing = scan(lenient, "train")
        train, held_out, faults = split_source(listing, source, lenient)
    except DataError as error:
        report.problems.append(str(error))
        return
    _faults(report, domain).extend(faults)
    report.splits.append(_inspect_all(report, f"{source.name} train", domain, train))
    if held_out:
        report.splits.append(_inspect_all(report, f"{source.name} held out", domain, held_out))


def _check_split(report: Report, name: str, domain: Domain, split: Split) -> None:
    try:
        listing = scan(domain.model_copy(update={"on_bad": "skip"}), split)
    except DataError as error:
        report.problems.append(str(error))
        return
    _faults(report, domain).extend(listing.skipped)
    needs_labels = split == "val"  # of the target's training images, many methods open none
    report.splits.append(_inspect_all(report, f"{name} {split}", domain, listing.records, needs_labels))


def _faults(report: Report, domain: Domain) -> list[str]:
    """Where this domain's faults go."""
    return report.skipped if domain.on_bad == "skip" else report.problems


def _inspect_all(
    report: Report, name: str, domain: Domain, records: Sequence[ImageRecord], needs_labels: bool = True
) -> SplitReport:
    with ThreadPoolExecutor(cpu_count()) as pool:  # Pillow decodes outside the interpreter's lock
        found = pool.map(inspect, records)
        console = Console(stderr=True)
        items = list(
            track(found, name, len(records), console=console, transient=True, disable=not console.is_terminal)
        )
    faulty = [item for item in items if item.fault and (needs_labels or not item.unlabelled)]
    _faults(report, domain).extend(str(item.fault) for item in faulty)
    unlabelled = 0 if needs_labels else sum(item.unlabelled for item in items)
    if unlabelled:
        text = f"{unlabelled} of {len(items)} images have no label, which only some methods need"
        report.notes.append(f"{name}: {text}")
    notes = [item.note for item in items if item.note]
    report.notes.extend(notes)
    counts = np.array([item.counts for item in items if item.counts is not None]).reshape(-1, NUM_CLASSES)
    return SplitReport(
        name=name,
        images=len(records),
        sizes={f"{size[0]}x{size[1]}": n for size, n in Counter(item.size for item in items).items() if size},
        resized=len(notes),
        pixels=dict(zip(CLASSES, counts.sum(0).tolist(), strict=True)),
        images_with=dict(zip(CLASSES, (counts > 0).sum(0).tolist(), strict=True)),
    )


def inspect(record: ImageRecord) -> Inspection:
    """Decode one image and its label."""
    try:
        height, width = read_image(record.image).shape[:2]
        if record.label is None:
            return Inspection((width, height), fault=f"{record.image}: no label", unlabelled=True)
        size, counts = label_counts(record.label)
    except DataError as error:
        return Inspection(fault=str(error))
    other = f"{record.label}: label {size[0]}x{size[1]}, image {width}x{height}: training resizes the label"
    return Inspection((width, height), counts, note=None if size == (width, height) else other)


def render(report: Report) -> Group:
    """The report as tables and lists for a terminal."""
    overview = Table("split", "images", "sizes", "labels resized", title=report.profile)
    for split in report.splits:
        sizes = ", ".join(f"{size}: {count}" for size, count in sorted(split.sizes.items()))
        overview.add_row(split.name, str(split.images), sizes, str(split.resized))
    title = "share of labelled pixels (number of images)"
    columns = (Column(split.name, overflow="fold") for split in report.splits)
    classes = Table("class", *columns, title=title)
    for name in CLASSES:
        cells = [_cell(split, name) for split in report.splits]
        classes.add_row(name if name in report.classes else f"({name})", *cells)
    classes.caption = "in brackets: not in evaluation.classes" if set(CLASSES) - set(report.classes) else None
    lines = [
        *(_line(f"problem: {line}", "red") for line in report.problems),
        *(_line(f"skipped: {line}") for line in report.skipped),
        *(_line(f"note: {line}") for line in report.notes),
    ]
    count = len(report.problems)
    verdict = Text(f"{count} problem{'' if count == 1 else 's'}", style="bold red" if count else "bold green")
    return Group(*([overview, classes] if report.splits else []), *lines, verdict)


def _line(text: str, style: str = "") -> Text:
    """One line however narrow the terminal: file names stay whole."""
    return Text(text, style, no_wrap=True, overflow="ignore")


def _cell(split: SplitReport, name: str) -> str:
    return f"{split.share(name):.2%} ({split.images_with[name]})" if split.images_with[name] else "-"
