"""Which images contrastive levels compare."""

from typing import Literal

from segda_core.config import Stream, TrialConfig

Domain = Literal["source", "target"]


def compared(config: TrialConfig) -> dict[Domain, Stream]:
    """The stream of each domain.

    `source`: the labels that say which classes are rare and what their means are. A method that learns no
    source has its target images there, with their true or pseudo labels. `target`: beside a true source, what
    the method sees of the other domain; with labels (`joint`) or without, where predictions stand in.
    """
    assert config.contrastive is not None
    streams = config.streams
    if "source" not in streams:
        return {"source": next(each for each in streams if each != "target")}
    found: dict[Domain, Stream] = {"source": "source"}
    others: tuple[Stream, ...] = ("target", "target_labelled")
    other = next((each for each in others if each in streams), None)
    if config.contrastive.anchors == "both" and other is not None:
        found["target"] = other
    return found
