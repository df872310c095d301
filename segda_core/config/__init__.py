"""The resolved configuration of one trial: the only thing the launcher and the training core share.

Everything a trial's result depends on is a field here. Fields marked `NotInIdentity` change how a trial
runs (roots, log intervals, loader workers) but not what it computes, and stay out of its hash.
"""

from segda_core.config.adversarial import (
    ADVERSARIAL_WEIGHTS,
    AdaptSegNetConfig,
    MemoryRegularisationConfig,
    MRNetConfig,
    StudentMoreImagesConfig,
)
from segda_core.config.base import (
    CONFIG_VERSION,
    LIST,
    NOT_IN_IDENTITY,
    Beta,
    ClassName,
    ClassNames,
    Frozen,
    Size,
    default_names,
    identity,
)
from segda_core.config.canonical import (
    canonical,
    canonical_target,
)
from segda_core.config.class_balance import ClassBalanceConfig
from segda_core.config.contrastive import (
    ContrastiveConfig,
    ImageLevelConfig,
    LevelConfig,
    PairLevelConfig,
    PrototypeLevelConfig,
    RegionLevelConfig,
)
from segda_core.config.evaluation import (
    PROTOCOLS,
    EvaluationConfig,
    Protocol,
    ProtocolName,
    QualityConfig,
)
from segda_core.config.handing_on import (
    INIT_FROM,
    ROLES,
    TEACHER,
    Input,
    OutputName,
)
from segda_core.config.images import (
    AnySource,
    AutoAugmentPolicy,
    DataConfig,
    Domain,
    LabelledConfig,
    MadeName,
    OutputConfig,
    Profile,
    RareClassConfig,
    SourceConfig,
    SubsetConfig,
    TargetConfig,
    TransformConfig,
    TransformsConfig,
)
from segda_core.config.method_settings import (
    JointConfig,
    MethodSettings,
    SourceOnlyConfig,
    Stream,
    SupervisedConfig,
)
from segda_core.config.methods import (
    METHOD_CONFIGS,
    MethodConfig,
)
from segda_core.config.models import (
    DeepLabV2Config,
    DeepLabV2MRNetConfig,
    DeepLabV3PlusConfig,
    DilatedResNet101Config,
    Lite0Config,
    ModelConfig,
    ModelSettings,
    TinyConfig,
)
from segda_core.config.optimisation import (
    AdamWConfig,
    DiscriminatorOptimizerConfig,
    OptimizerConfig,
    ScheduleConfig,
    SgdConfig,
)
from segda_core.config.self_training import (
    EmaClassMixConfig,
    MaskedConfig,
    PseudoLabelCropConfig,
    PseudoLabelMethodConfig,
    StrongConfig,
    StudentConfig,
    StudentOracleTeacherConfig,
    StudentSelfTrainConfig,
)
from segda_core.config.task import (
    CheckpointConfig,
    TaskConfig,
)
from segda_core.config.translation import (
    CycleGanConfig,
)
from segda_core.config.trial import (
    RECORDED_AFTER,
    TrialConfig,
)

__all__ = [
    "ADVERSARIAL_WEIGHTS",
    "CONFIG_VERSION",
    "INIT_FROM",
    "LIST",
    "METHOD_CONFIGS",
    "NOT_IN_IDENTITY",
    "PROTOCOLS",
    "RECORDED_AFTER",
    "ROLES",
    "TEACHER",
    "AdamWConfig",
    "AdaptSegNetConfig",
    "AnySource",
    "AutoAugmentPolicy",
    "Beta",
    "CheckpointConfig",
    "ClassBalanceConfig",
    "ClassName",
    "ClassNames",
    "ContrastiveConfig",
    "CycleGanConfig",
    "DataConfig",
    "DeepLabV2Config",
    "DeepLabV2MRNetConfig",
    "DeepLabV3PlusConfig",
    "DilatedResNet101Config",
    "DiscriminatorOptimizerConfig",
    "Domain",
    "EmaClassMixConfig",
    "EvaluationConfig",
    "Frozen",
    "ImageLevelConfig",
    "Input",
    "JointConfig",
    "LabelledConfig",
    "LevelConfig",
    "Lite0Config",
    "MRNetConfig",
    "MadeName",
    "MaskedConfig",
    "MemoryRegularisationConfig",
    "MethodConfig",
    "MethodSettings",
    "ModelConfig",
    "ModelSettings",
    "OptimizerConfig",
    "OutputConfig",
    "OutputName",
    "PairLevelConfig",
    "Profile",
    "Protocol",
    "ProtocolName",
    "PrototypeLevelConfig",
    "PseudoLabelCropConfig",
    "PseudoLabelMethodConfig",
    "QualityConfig",
    "RareClassConfig",
    "RegionLevelConfig",
    "ScheduleConfig",
    "SgdConfig",
    "Size",
    "SourceConfig",
    "SourceOnlyConfig",
    "Stream",
    "StrongConfig",
    "StudentConfig",
    "StudentMoreImagesConfig",
    "StudentOracleTeacherConfig",
    "StudentSelfTrainConfig",
    "SubsetConfig",
    "SupervisedConfig",
    "TargetConfig",
    "TaskConfig",
    "TinyConfig",
    "TransformConfig",
    "TransformsConfig",
    "TrialConfig",
    "canonical",
    "canonical_target",
    "default_names",
    "identity",
]
