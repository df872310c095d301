"""What metrics.json says of images and labels that could not be used as they are, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from launcher.words import counted


def bad_images(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """How many were skipped or resized, of several results the most; none where there were none."""
    most: dict[str, int] = {}
    for metrics in results:
        for words, count in _counts(metrics).items():
            most[words] = max(most.get(words, 0), count)
    return [counted(words, count) for words, count in most.items() if count]


def _counts(metrics: Mapping[str, Any]) -> dict[str, int]:
    return {
        "training image skipped": len(metrics.get("training_skipped", ())),
        "validation image skipped": len(metrics.get("validation_skipped", ())),
        "label resized": metrics.get("labels_resized", 0),
    }
