"""The tasks a trial can be, each with the configuration of its trials; `train` is `config.TrialConfig`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segda_core.config import (
    LIST,
    EvaluationConfig,
    Input,
    ModelConfig,
    OutputName,
    Size,
    SourceConfig,
    SubsetConfig,
    TargetConfig,
    TaskConfig,
    TrialConfig,
    canonical_target,
)
from segda_core.errors import ConfigError, Json, did_you_mean, parse

TaskName = Literal["train", "translate", "pseudo_label"]

RUNNERS: dict[TaskName, str] = {
    "train": "segda_core.trials.attempt",
    "translate": "segda_core.translate",
    "pseudo_label": "segda_core.pseudo_labels",
}
"""Task -> module whose `run_attempt` does it."""


class TranslateConfig(TaskConfig):
    """Applies a translation network to the source: images in GTA5's layout, with the source's labels."""

    task: Literal["translate"]
    source: Annotated[tuple[SourceConfig, ...], LIST, Field(min_length=1)]
    """Domains of the data profile; what is held out of them is not translated."""
    size: Size | None = None
    """(width, height) of what the network sees, brought back to the label's afterwards; None: the file's."""

    @model_validator(mode="after")
    def _check(self) -> "TranslateConfig":
        self.check_domains(source.name for source in self.source)
        return self

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The network it applies."""
        return {"network": Input("generator", required=True)}

    @property
    def outputs(self) -> tuple[OutputName, ...]:
        """A domain."""
        return ("images",)


class PseudoLabelConfig(TaskConfig):
    """Labels the target subset with a segmenter's predictions."""

    task: Literal["pseudo_label"]
    target: TargetConfig
    """Its subset is labelled; true labels are never opened."""
    evaluation: EvaluationConfig
    """Its protocol and size are how predictions are made."""
    size: Size | None = None
    """(width, height) of the labels; None: the image's (Zheng & Yang; half of it saves memory)."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Pixels of lower confidence are ignored; None: every pixel is labelled (Zheng & Yang, IJCV 2021)."""

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, raw: Any) -> Any:
        target = raw.get("target") if isinstance(raw, dict) else None
        return {**raw, "target": canonical_target(target, "never")} if isinstance(target, dict) else raw

    @model_validator(mode="after")
    def _check(self) -> "PseudoLabelConfig":
        self.check_domains([self.target.name])
        if self.target.labelled is not None:
            raise ValueError("target.labelled is set, but task pseudo_label never sees target labels")
        return self

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The network whose predictions they are."""
        return {"network": Input("segmenter", required=True)}

    @property
    def outputs(self) -> tuple[OutputName, ...]:
        """Labels."""
        return ("labels",)

    @property
    def target_subset(self) -> SubsetConfig | None:
        """The target images it labels."""
        return self.target.subset


TASK_CONFIGS: dict[TaskName, type[TaskConfig]] = {
    "train": TrialConfig,
    "translate": TranslateConfig,
    "pseudo_label": PseudoLabelConfig,
}
"""Every task's configuration class by name."""


NOT_IN_TENSORS = ("weights", "align_corners", "batch_norm", "trunk_lr_multiplier", "dropout")
"""Fields of models that do not change which tensors a network has: weights may pass from one to the other."""


def model_differences(model: ModelConfig, other: ModelConfig) -> dict[str, tuple[Any, Any]]:
    """Field -> (value, the other's), for what keeps a network from starting with the other's weights."""
    here, there = model.model_dump(), other.model_dump()
    if model.name != other.name:
        return {"name": (model.name, other.name)}
    return {
        key: (value, there[key])
        for key, value in here.items()
        if value != there[key] and key not in NOT_IN_TENSORS
    }


def task_of(config: TaskConfig) -> TaskName:
    """Name of the task that a configuration is for."""
    return next(name for name, kind in TASK_CONFIGS.items() if isinstance(config, kind))


def parse_config(raw: Json, where: str) -> TaskConfig:
    """A trial's configuration of whatever task it says; `where` opens each problem of the `ConfigError`."""
    task: Any = raw.get("task", "train") if isinstance(raw, dict) else "train"
    if task not in TASK_CONFIGS:
        allowed = ", ".join(TASK_CONFIGS)
        near = did_you_mean(str(task), list(TASK_CONFIGS))
        raise ConfigError([f"{where}: task: found {task!r}; allowed: {allowed}{near}"])
    return parse(TASK_CONFIGS[task], raw, where)
