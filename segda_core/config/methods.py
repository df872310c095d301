"""Every method's configuration, by name."""

from typing import Annotated, get_args

from pydantic import Field

from segda_core.config.adversarial import AdaptSegNetConfig, MRNetConfig, StudentMoreImagesConfig
from segda_core.config.method_settings import (
    JointConfig,
    MethodSettings,
    SourceOnlyConfig,
    SupervisedConfig,
)
from segda_core.config.self_training import (
    EmaClassMixConfig,
    PseudoLabelMethodConfig,
    StudentOracleTeacherConfig,
    StudentSelfTrainConfig,
)
from segda_core.config.translation import CycleGanConfig

MethodConfig = Annotated[
    SourceOnlyConfig
    | SupervisedConfig
    | JointConfig
    | AdaptSegNetConfig
    | EmaClassMixConfig
    | MRNetConfig
    | PseudoLabelMethodConfig
    | CycleGanConfig
    | StudentMoreImagesConfig
    | StudentSelfTrainConfig
    | StudentOracleTeacherConfig,
    Field(discriminator="name"),
]

METHOD_CONFIGS: dict[str, type[MethodSettings]] = {
    get_args(method.model_fields["name"].annotation)[0]: method
    for method in get_args(get_args(MethodConfig)[0])
}
"""Every method's configuration class by name."""
