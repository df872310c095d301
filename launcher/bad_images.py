"""What metrics.json says of images and labels that could not be used as they are, in words."""

from collections.abc import Mapping
from typing import Any

from launcher.words import counted


def bad_images(metrics: Mapping[str, Any]) -> str:
    """How many were skipped or resized; empty where none was."""
    counts = {
        "training image skipped": len(metrics.get("training_skipped", ())),
        "validation image skipped": len(metrics.get("validation_skipped", ())),
        "label resized": metrics.get("labels_resized", 0),
    }
    return ", ".join(counted(words, count) for words, count in counts.items() if count)
