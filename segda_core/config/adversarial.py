"""Methods with discriminators of a segmenter's output."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from segda_core.config.class_balance import ClassBalanceConfig
from segda_core.config.handing_on import TEACHER, Input
from segda_core.config.method_settings import MethodSettings
from segda_core.config.optimisation import DiscriminatorOptimizerConfig

ADVERSARIAL_WEIGHTS: dict[tuple[str, str], tuple[float, float, float]] = {
    ("multi", "bce"): (0.1, 0.0002, 0.001),
    ("single", "bce"): (0.0, 0.0, 0.001),
    ("single", "lsgan"): (0.0, 0.0, 0.01),
    ("multi", "lsgan"): (0.1, 0.002, 0.01),
}
"""(levels, gan) -> (lambda_aux, lambda_adv_aux, lambda_adv_main): AdaptSegNet's paper, README and issue 88.

For multi-level bce under PyTorch 0.4 and newer the README also advises 0.00005 and 0.0005. Multi-level lsgan
was never run by its authors: what they suggest to start from.
"""


class AdaptSegNetConfig(MethodSettings):
    """Adversarial output-space alignment (Tsai et al., CVPR 2018)."""

    streams = ("source", "target")
    target_labels = "never"

    name: Literal["adaptsegnet"]
    levels: Literal["single", "multi"] = "multi"
    gan: Literal["bce", "lsgan"] = "bce"
    lambda_aux: Annotated[float, Field(ge=0)] | None = None
    """Weight of the auxiliary head's cross-entropy; None: the published value for levels and gan."""
    lambda_adv_aux: Annotated[float, Field(ge=0)] | None = None
    lambda_adv_main: Annotated[float, Field(ge=0)] | None = None
    channels: Annotated[int, Field(gt=0)] = 64
    """Width of the discriminators' first layer (published: 64, 2 781 121 parameters)."""
    discriminator: DiscriminatorOptimizerConfig = DiscriminatorOptimizerConfig()

    @property
    def needs_aux(self) -> bool:
        """Both levels adapt both heads."""
        return self.levels == "multi"

    @property
    def weights(self) -> tuple[float, float, float]:
        """(lambda_aux, lambda_adv_aux, lambda_adv_main) with the published values filled in."""
        own = (self.lambda_aux, self.lambda_adv_aux, self.lambda_adv_main)
        published = ADVERSARIAL_WEIGHTS[(self.levels, self.gan)]
        aux, adv_aux, adv_main = (
            value if value is not None else default for value, default in zip(own, published, strict=True)
        )
        return aux, adv_aux, adv_main


class MemoryRegularisationConfig(MethodSettings):
    """Settings of Seg-Uncertainty's first stage (Zheng & Yang, IJCAI 2020)."""

    streams = ("source", "target")
    target_labels = "never"

    lambda_aux: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the auxiliary head's cross-entropy."""
    lambda_adv_aux: Annotated[float, Field(ge=0)] = 0.0002
    lambda_adv_main: Annotated[float, Field(ge=0)] = 0.001
    lambda_mr: Annotated[float, Field(ge=0)] = 0.1
    """Weight of memory regularisation: KL from the heads' fused target prediction to each head's."""
    mr_start: Annotated[int, Field(ge=0)] = 15_000
    """First step with memory regularisation and entropy: the released code's; the paper says 10 000."""
    lambda_entropy: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the confident pixels' entropy on the target, which exists in the released code at 0."""
    hard_percentile: Annotated[float, Field(ge=0, lt=100)] = 80.0
    """Source pixels whose weighted cross-entropy is below this percentile of the micro-batch are left out."""
    class_balance: ClassBalanceConfig = ClassBalanceConfig()
    channels: Annotated[int, Field(gt=0)] = 32
    """Width of the discriminators' first layer (published: 32, 1 041 699 parameters)."""
    lambda_penalty: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the discriminators' gradient penalty."""
    discriminator: DiscriminatorOptimizerConfig = DiscriminatorOptimizerConfig()

    @property
    def needs_aux(self) -> bool:
        """The two heads regularise each other."""
        return True

    def idle(self, steps: int) -> list[str]:
        """The start of memory regularisation and entropy, unless both weigh nothing."""
        never = (self.lambda_mr or self.lambda_entropy) and self.mr_start >= steps
        return [f"method.mr_start {self.mr_start}"] if never else []


class MRNetConfig(MemoryRegularisationConfig):
    """Memory regularisation, Seg-Uncertainty's first stage (Zheng & Yang, IJCAI 2020)."""

    name: Literal["mrnet"]


class StudentMoreImagesConfig(MemoryRegularisationConfig):
    """Memory regularisation that goes on from the teacher's weights, on a larger target subset."""

    inputs: ClassVar[Mapping[str, Input]] = TEACHER
    start_role = "teacher"

    name: Literal["student_more_images"]
