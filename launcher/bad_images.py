"""What metrics.json says of images and labels that could not be used as they are, in words."""

from collections.abc import Mapping
from typing import Any

from launcher.live import several


def bad_images(metrics: Mapping[str, Any]) -> str:
    """How many were skipped or resized; empty where none was."""
    counts = {
        "training image skipped": len(metrics.get("training_skipped", ())),
        "validation image skipped": len(metrics.get("validation_skipped", ())),
        "label resized": metrics.get("labels_resized", 0),
    }
    return ", ".join(counted(words, count) for words, count in counts.items() if count)


def counted(words: str, count: int) -> str:
    """`1 label resized`, `2 labels resized`."""
    *noun, verb = words.split()
    return f"{several(count, ' '.join(noun))} {verb}"
