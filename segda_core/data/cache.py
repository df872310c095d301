"""`segda data cache`: fills the image cache before the first trial does, shows what it holds, empties it."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from segda_core.data.check import example_trial, named_sources
from segda_core.data.decoded import DecodedImages, domain_root
from segda_core.data.index import ImageRecord, scan
from segda_core.data.manifest import split_source, usable
from segda_core.data.store import Entry, Store
from segda_core.errors import DataError

Keep = Callable[[ImageRecord], None]


@dataclass(frozen=True)
class Kept:
    """Images and labels of one domain at one size."""

    domain: str
    """Its root."""
    size: str
    files: int
    bytes: int
    used: float
    """Time of last use, to within an hour."""


def build(profile: Path, store: Store) -> list[str]:
    """Keep what trials of a profile open, at the profile's sizes; what had to be left out.

    `DataError` where an image cannot be read and its domain does not say `on_bad: skip`.
    """
    jobs = [(keep, record) for keep, records in _everything(profile, store) for record in records]
    console = Console(stderr=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # Pillow decodes outside the lock
        faults = pool.map(_kept, jobs)
        shown = track(faults, profile.stem, len(jobs), console=console, disable=not console.is_terminal)
        return [fault for fault in shown if fault]


def kept(store: Store) -> list[Kept]:
    """What the cache holds, the largest first."""
    folders: dict[Path, list[Entry]] = defaultdict(list)
    for entry in store.entries():
        folders[entry.path.parent].append(entry)
    rows = [
        Kept(
            domain=_domain(entries[0]),
            size=folder.name,
            files=len(entries),
            bytes=sum(entry.size for entry in entries),
            used=max(entry.used for entry in entries),
        )
        for folder, entries in folders.items()
    ]
    return sorted(rows, key=lambda row: -row.bytes)


def as_json(store: Store) -> dict[str, Any]:
    """`kept`, with folder and budget."""
    rows = [asdict(row) for row in kept(store)]
    return {"folder": str(store.root), "budget_bytes": store.budget, "kept": rows}


def render(store: Store) -> Table:
    """`kept` for a terminal, with folder and budget."""
    rows = kept(store)
    table = Table("domain", "size", "files", "GB", "last used", title=f"{store.root}")
    table.columns[0].overflow = "fold"
    for column in table.columns[2:4]:
        column.justify = "right"
    for row in rows:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.used))
        table.add_row(row.domain, row.size, str(row.files), f"{row.bytes / 1e9:.2f}", used)
    total = sum(row.bytes for row in rows) / 1e9
    table.caption = f"{total:.2f} of {store.budget / 1e9:g} GB"
    return table


def _everything(profile: Path, store: Store) -> Iterator[tuple[Keep, Sequence[ImageRecord]]]:
    _, config = example_trial(profile)
    domains = config.data.domains
    sources = DecodedImages(store, config.transforms.source.resize)
    for source in named_sources(config):
        domain = domains[source.name]
        yield _for_training(sources), split_source(scan(domain, "train"), source, domain)[0]
    domain = domains[config.target.name]
    yield _for_training(DecodedImages(store, config.transforms.target.resize)), scan(domain, "train").records
    yield _for_validation(DecodedImages(store, None)), usable(scan(domain, "val"), domain)[0]


def _for_training(images: DecodedImages) -> Keep:
    def keep(record: ImageRecord) -> None:
        pixels = images.image(record.image).pixels
        if record.label is not None:
            images.label(record.label, (pixels.shape[1], pixels.shape[0]))

    return keep


def _for_validation(images: DecodedImages) -> Keep:
    def keep(record: ImageRecord) -> None:
        assert record.label is not None
        images.image(record.image)
        images.label(record.label)

    return keep


def _kept(job: tuple[Keep, ImageRecord]) -> str:
    """What is wrong with an image that may be skipped; empty for a good one."""
    keep, record = job
    try:
        keep(record)
    except DataError as error:
        if not record.may_skip:
            raise
        return str(error)
    return ""


def _domain(entry: Entry) -> str:
    """The root its file lies below, or the folder's own name where the entry was cleared meanwhile."""
    facts = Store.facts(entry)
    return entry.path.parent.parent.name if facts is None else str(domain_root(Path(facts["source"])))
