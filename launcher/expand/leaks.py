"""Trials whose ancestors opened target images that they themselves may not: a row would promise too few."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from launcher.trial import Trial
from segda_core.config import SubsetConfig


def leaks(trials: Sequence[Trial]) -> list[str]:
    """A sentence for each kind of such trials, as a translator trained on all images for a trial with 100."""
    by_id = {trial.id: trial for trial in trials}
    found: dict[str, None] = {}
    for trial in trials:
        own = trial.config.target_subset
        if own is None:
            continue
        for ancestor in _ancestors(trial, by_id):
            opened = ancestor.config.target_subset
            if opened is not None and not within(opened, own):
                text = f"{trial.stage}: trials of {in_words(own)} take from {ancestor.stage}, which opened"
                found[f"{text} {in_words(opened)}"] = None
    return list(found)


def _ancestors(trial: Trial, by_id: Mapping[str, Trial]) -> Iterator[Trial]:
    for parent in dict.fromkeys(trial.parents.values()):
        yield by_id[parent]
        yield from _ancestors(by_id[parent], by_id)


def within(subset: SubsetConfig, other: SubsetConfig) -> bool:
    """Whether one holds only images of the other: subsets are nested for one seed and way to pick."""
    alike = (subset.pick, subset.seed) == (other.pick, other.seed)
    return other.size == "all" or (alike and _size(subset) <= _size(other))


def _size(subset: SubsetConfig) -> float:
    return inf if subset.size == "all" else subset.size


def in_words(subset: SubsetConfig) -> str:
    """`all target images`, `10 target images (seed 0)`."""
    if subset.size == "all":
        return "all target images"
    which = "the first" if subset.pick == "first" else f"seed {subset.seed}"
    return f"{subset.size} target images ({which})"
