"""Methods that learn the target from predictions."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from segda_core.config.base import Frozen
from segda_core.config.class_balance import ClassBalanceConfig
from segda_core.config.handing_on import INIT_FROM, TEACHER, Input
from segda_core.config.method_settings import MethodSettings


class StrongConfig(Frozen):
    """Strong augmentation of what a student learns from a teacher (DACS): colour jitter, then blur."""

    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    """Strength: brightness, contrast and saturation times [1-jitter, 1+jitter], hue by such a turn."""
    jitter_probability: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Of an image to be jittered (released code: whenever a uniform number is above 0.2)."""
    blur_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of an image to be blurred, with a standard deviation from U(0.15, 1.15) pixels."""


Margin = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)]
"""Rows at a border: their number, or below 1 their share of the height."""


class PseudoLabelCropConfig(Frozen):
    """Rows of a target crop whose pseudo labels count nothing (own car, borders of the rectification).

    They are rows of the training crop, so they mean what they should where crops are as high as the image.
    """

    top: Margin = 15
    """DAFormer: 15 of 512 rows."""
    bottom: Margin = 120

    def rows(self, height: int) -> tuple[int, int]:
        """(top, bottom) in rows."""
        top, bottom = (
            margin if isinstance(margin, int) else round(margin * height)
            for margin in (self.top, self.bottom)
        )
        return top, bottom

    def check_leaves_rows(self, height: int) -> None:
        """`ValueError` where nothing of target images of that height would count: no self-training at all."""
        top, bottom = self.rows(height)
        if top + bottom >= height:
            raise ValueError(
                f"method.pseudo_label_crop takes {top} rows at the top and {bottom} at the bottom of target "
                f"images {height} rows high, which leaves none; margins below 1 are shares of the height"
            )


class MaskedConfig(Frozen):
    """Masked image consistency (MIC, Hoyer et al., CVPR 2023)."""

    patch: Annotated[int, Field(gt=0)] = 64
    """Side of the square patches in pixels (MIC: 64 in crops of 1024, 32 in crops of 512)."""
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """Share of patches hidden."""
    lambda_masked: Annotated[float, Field(ge=0)] = 1.0


class EmaClassMixConfig(MethodSettings):
    """EMA teacher and ClassMix, the core of DACS and DAFormer; semi-supervised with `target.labelled`."""

    streams = ("source", "target")
    target_labels = "optional"
    has_teacher = True

    name: Literal["ema_classmix"]
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Largest decay of the teacher's running average (DAFormer; DACS: 0.99)."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.968
    """Teacher probability from which a target pixel counts as confident."""
    values_from: Literal["batch", "image"] = "batch"
    """Label values of which half are drawn for each image: the whole batch's (DAFormer), its own (DACS)."""
    strong: StrongConfig = StrongConfig()
    pseudo_label_crop: PseudoLabelCropConfig | None = None
    masked: MaskedConfig | None = None
    """Also learn the masked target image from the same pseudo labels."""
    lambda_aux: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the auxiliary head in every term."""


class PseudoLabelMethodConfig(MethodSettings):
    """Training on a parent's pseudo labels, Seg-Uncertainty's second stage (Zheng & Yang, IJCV 2021)."""

    streams = ("target_pseudo",)
    target_labels = "never"
    inputs: ClassVar[Mapping[str, Input]] = {**INIT_FROM, "labels": Input("labels", required=True)}

    name: Literal["pseudo_label"]
    rectify: bool = True
    """Trust a pixel's label the less the more the two heads differ there (variance rectification)."""
    lambda_aux: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the auxiliary head's loss."""
    class_balance: ClassBalanceConfig = ClassBalanceConfig()

    @property
    def needs_aux(self) -> bool:
        """The heads' difference is the variance."""
        return self.rectify


class StudentConfig(MethodSettings):
    """What students have in common that learn a teacher's predictions of the target beside the source."""

    streams = ("source", "target")
    target_labels = "never"
    learns_from_teacher = True

    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Pixels of which the teacher is less sure are ignored; None: every pixel is learnt."""
    lambda_target: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the target's loss."""
    lambda_aux: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the auxiliary head in both losses."""


class StudentSelfTrainConfig(StudentConfig):
    """Goes on from its teacher's weights with its teacher's labels: no target label above it."""

    inputs: ClassVar[Mapping[str, Input]] = TEACHER
    start_role = "teacher"
    teacher_saw_labels = False

    name: Literal["student_selftrain"]


class StudentOracleTeacherConfig(StudentConfig):
    """Learns from a teacher, of any model, that was trained with target labels: not unsupervised."""

    inputs: ClassVar[Mapping[str, Input]] = {**INIT_FROM, **TEACHER}
    teacher_saw_labels = True

    name: Literal["student_oracle_teacher"]
