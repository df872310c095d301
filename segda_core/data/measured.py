"""Which images label-free quality is measured on: the same for every trial of a profile, never validation.

They are opened for measurement alone, at the end of training, and also by trials whose method may not train
on them; of the target no label file is ever named. The first n of one fixed order are taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from segda_core.config import SourceConfig, TrialConfig
from segda_core.data.index import ImageRecord, scan
from segda_core.data.manifest import TrialImages, manifest_hash, split_source
from segda_core.data.subset import shuffled

SALT = "quality"
"""Of the order of names: another one than that of any subset or holdout."""


@dataclass(frozen=True)
class MeasuredImages:
    """Images of both domains that quality is measured on."""

    target: list[ImageRecord]
    """Of the target's training split, without labels."""
    source: list[ImageRecord]
    """Labelled; empty where the method trains on no source."""
    held_out: bool
    """Whether the source images were never trained on: False where no source has a holdout."""


def select_measured(config: TrialConfig, count: int, made: Sequence[ImageRecord] = ()) -> MeasuredImages:
    """At most `count` images of each domain; `DataError` where a domain cannot be listed.

    `made` are source images that parents made: they stand in where the trial has no other source.
    """
    target = scan(config.data.domains[config.target.name], "train").records
    train: dict[str, ImageRecord] = {}
    held_out: dict[str, ImageRecord] = {}
    for source in (source for source in config.source if isinstance(source, SourceConfig)):
        domain = config.data.domains[source.name]
        trained, kept, _ = split_source(scan(domain, "train"), source, domain)
        train |= {f"{source.name}/{record.name}": record for record in trained}
        held_out |= {f"{source.name}/{record.name}": record for record in kept}
    return MeasuredImages(
        target=_first({record.name: replace(record, label=None) for record in target}, count),
        source=_first(held_out or train or {record.name: record for record in made}, count),
        held_out=bool(held_out),
    )


def list_hash(records: Sequence[ImageRecord]) -> str | None:
    """Of names and file sizes: trials with equal hashes were measured on the same images; None for none."""
    return manifest_hash(TrialImages(target=list(records))) if records else None


def _first(records: dict[str, ImageRecord], count: int) -> list[ImageRecord]:
    return [records[name] for name in shuffled(records, SALT)[:count]]
