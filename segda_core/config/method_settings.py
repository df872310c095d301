"""What every method's configuration says, and those without options of their own file."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from segda_core.config.base import Frozen
from segda_core.config.class_balance import ClassBalanceConfig
from segda_core.config.handing_on import INIT_FROM, Input, OutputName

Stream = Literal["source", "target", "target_labelled", "target_pseudo"]
"""source, target_labelled: images and labels. target: images of the subset, never a label; beside
target_labelled only those that are not in it, or all where it holds the whole subset. target_pseudo: images
of the subset with the labels that the parent in role `labels` made."""


class MethodSettings(Frozen):
    """Base of every method's configuration, with what the method may see."""

    streams: ClassVar[tuple[Stream, ...]]
    """What it always opens; where its target labels are optional and given, `target_labelled` comes last."""
    target_labels: ClassVar[Literal["required", "optional", "never"]]
    """Whether `target.labelled` defaults to the whole subset, to none, or is an error."""
    has_teacher: ClassVar[bool] = False
    """Whether it keeps a teacher that `evaluation.network` may ask for."""
    learns_from_teacher: ClassVar[bool] = False
    """Whether it is given the network of the parent in role `teacher`."""
    teacher_saw_labels: ClassVar[bool | None] = None
    """Whether target labels must, or must not, have been used above that teacher; None: either."""
    start_role: ClassVar[str] = "init_from"
    """Role of the parent with whose weights the segmenter starts."""
    inputs: ClassVar[Mapping[str, Input]] = INIT_FROM
    """Role -> what it takes from a parent; images come by `source` instead."""
    outputs: ClassVar[tuple[OutputName, ...]] = ("segmenter",)
    """What its trials make; without a segmenter among it a trial has no model, and is not scored."""

    @classmethod
    def trains_segmenter(cls) -> bool:
        """Whether the model is trained."""
        return "segmenter" in cls.outputs

    @property
    def needs_aux(self) -> bool:
        """Whether the model must have an auxiliary head."""
        return False

    def idle(self, steps: int) -> list[str]:
        """Settings, with their values, that a trial of so many steps never reaches."""
        return []


class SourceOnlyConfig(MethodSettings):
    """Train on labelled source images alone: the lower anchor of every comparison."""

    streams = ("source",)
    target_labels = "never"

    name: Literal["source_only"]
    lambda_aux: Annotated[float, Field(ge=0)] = 0.1


class SupervisedConfig(MethodSettings):
    """Train on labelled target images alone."""

    streams = ("target_labelled",)
    target_labels = "required"

    name: Literal["supervised"]
    lambda_aux: Annotated[float, Field(ge=0)] = 0.1
    class_balance: ClassBalanceConfig | None = None
    """Class weights as in MRNet (Seg-Uncertainty's segmentation-only runs); None: all classes count alike."""
    hard_percentile: Annotated[float, Field(ge=0, lt=100)] = 0.0
    """Pixels whose (weighted) cross-entropy is below this percentile of the micro-batch are left out
    (Seg-Uncertainty: 80); 0: none."""


class JointConfig(MethodSettings):
    """Train on labelled source and labelled target images together."""

    streams = ("source", "target_labelled")
    target_labels = "required"

    name: Literal["joint"]
    lambda_aux: Annotated[float, Field(ge=0)] = 0.1
    lambda_target: Annotated[float, Field(ge=0)] = 1.0
