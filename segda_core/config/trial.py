"""One resolved point of a sweep: everything its result depends on."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segda_core.config.adversarial import AdaptSegNetConfig
from segda_core.config.base import LIST, NOT_IN_IDENTITY
from segda_core.config.canonical import canonical
from segda_core.config.contrastive import ContrastiveConfig
from segda_core.config.evaluation import PROTOCOLS, EvaluationConfig, QualityConfig
from segda_core.config.handing_on import ROLES, Input, OutputName
from segda_core.config.images import (
    AnySource,
    OutputConfig,
    RareClassConfig,
    SourceConfig,
    SubsetConfig,
    TargetConfig,
    TransformsConfig,
)
from segda_core.config.method_settings import Stream
from segda_core.config.methods import MethodConfig
from segda_core.config.models import ModelConfig
from segda_core.config.optimisation import OptimizerConfig, ScheduleConfig, SgdConfig
from segda_core.config.self_training import EmaClassMixConfig
from segda_core.config.task import CheckpointConfig, TaskConfig
from segda_core.config.translation import CycleGanConfig

RECORDED_AFTER = 3
"""Steps run as usual before a captured one: kernels are chosen and blocks compiled in them."""


class TrialConfig(TaskConfig):
    """One resolved point of a sweep that trains: everything its result depends on."""

    task: Literal["train"] = "train"
    source: Annotated[tuple[AnySource, ...], LIST]
    target: TargetConfig
    rare_class_sampling: RareClassConfig | None = None
    """How source images are drawn; None: each once an epoch."""
    transforms: TransformsConfig = TransformsConfig()
    model: ModelConfig | None = None
    """None where the method trains no segmenter, and only there."""
    method: MethodConfig
    contrastive: ContrastiveConfig | None = None
    """Beside any method that trains a segmenter: learning by label distributions."""
    optimizer: OptimizerConfig = SgdConfig(name="sgd")
    """Of the segmenter; a method's other networks have their own."""
    schedule: ScheduleConfig = ScheduleConfig()
    steps: Annotated[int, Field(gt=0)]
    """Optimizer steps."""
    batch_size: Annotated[int, Field(gt=0)] = 2
    """Images per domain in one step, over all ranks and micro-batches."""
    micro_batches: Annotated[int, Field(gt=0)] = 1
    """Backward passes accumulated into one step; batch norm sees each alone."""
    sync_batch_norm: bool = False
    """Batch norm in training takes the images of all ranks together; False: each rank's alone."""
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """Compile the networks' repeated blocks (torch.compile); ResNets and DeepLabV2's heads have kernels of
    their own instead, for a GPU. Rounds differently."""
    capture: Annotated[bool, NOT_IN_IDENTITY] = False
    """On a GPU, replay forward and backward passes as a CUDA graph; for one rank. Needs more memory."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm of each update; None: no clipping."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    evaluation: EvaluationConfig
    quality: Annotated[QualityConfig, NOT_IN_IDENTITY] = QualityConfig()
    log_every: Annotated[int, Field(gt=0), NOT_IN_IDENTITY] = 20
    """Steps between history rows; losses are read from the device only then."""
    checkpoint: Annotated[CheckpointConfig, NOT_IN_IDENTITY] = CheckpointConfig()

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, raw: Any) -> Any:
        return canonical(raw) if isinstance(raw, dict) else raw

    @model_validator(mode="after")
    def _check(self) -> "TrialConfig":
        if self.batch_size % (self.ranks * self.micro_batches):
            raise ValueError(
                f"batch_size {self.batch_size} does not divide among ranks {self.ranks} x "
                f"micro_batches {self.micro_batches}"
            )
        self._check_capture()
        named = [source.name for source in self.source if isinstance(source, SourceConfig)]
        self.check_domains([*named, self.target.name])
        for key in self.source_outputs:
            if key in ROLES:
                raise ValueError(f"source output {key!r} is the name of a role; call it otherwise")
        if "source" in self.method.streams and not self.source:
            raise ValueError(f"method {self.method.name} needs a source; source is empty")
        self._check_heads()
        if self.evaluation.network == "teacher" and not self.method.has_teacher:
            raise ValueError(f"evaluation.network is teacher, but method {self.method.name} has none")
        if self.contrastive is not None:
            self._check_contrastive(self.contrastive)
        if self.transforms.target.min_values and set(self.streams) <= {"source", "target"}:
            raise ValueError(f"transforms.target.min_values needs labels; {self.method.name} opens none")
        if isinstance(self.method, EmaClassMixConfig):
            self._check_mixed_sizes()
            self._check_pseudo_label_crop(self.method)
        if isinstance(self.method, CycleGanConfig):
            self._check_fixed_sizes()
        return self

    def _check_capture(self) -> None:
        """Refuse DDP's reductions, and losses that read other tensors in each step."""
        if not self.capture:
            return
        if self.ranks > 1:
            raise ValueError(f"capture needs one rank; ranks is {self.ranks}")
        for name, changes in (
            ("contrastive", self.contrastive is not None),
            (f"method {self.method.name}", isinstance(self.method, CycleGanConfig)),
        ):
            if changes:
                raise ValueError(f"capture cannot record {name}; leave it out there")

    def _check_heads(self) -> None:
        """Refuse no model, or one without auxiliary head where the method or the evaluation uses one."""
        if not self.method.trains_segmenter():
            return
        if self.model is None:
            raise ValueError(f"method {self.method.name} trains a segmenter; set model")
        if self.model.has_aux:
            return
        lacking = f"needs an auxiliary head, which model {self.model.name} does not have"
        if self.method.needs_aux:
            single = "; set method.levels to single" if isinstance(self.method, AdaptSegNetConfig) else ""
            raise ValueError(f"method {self.method.name} {lacking}{single}")
        if PROTOCOLS[self.evaluation.protocol].fusion == "main_and_aux":
            raise ValueError(f"evaluation.protocol {self.evaluation.protocol} {lacking}")

    def _check_contrastive(self, contrastive: ContrastiveConfig) -> None:
        if not self.method.trains_segmenter():
            raise ValueError(
                f"contrastive needs a method that trains a segmenter; {self.method.name} does not"
            )
        if contrastive.histograms == "shuffled" and self.batch_size == 1:
            raise ValueError("contrastive.histograms shuffled needs a batch_size of 2 or more")

    def _check_mixed_sizes(self) -> None:
        """Pixels can be pasted where source and target images have one size."""
        source, target = (
            each.crop or each.resize for each in (self.transforms.source, self.transforms.target)
        )
        if source != target:
            raise ValueError(
                f"method {self.method.name} pastes source pixels on target images, but transforms give sizes "
                f"{source} and {target}; set transforms.source.crop and transforms.target.crop alike"
            )

    def _check_pseudo_label_crop(self, method: EmaClassMixConfig) -> None:
        """Where the height of target images is known beforehand."""
        size = self.transforms.target.size
        if method.pseudo_label_crop is not None and size is not None:
            method.pseudo_label_crop.check_leaves_rows(size[1])

    def _check_fixed_sizes(self) -> None:
        """Earlier images are kept in tensors of one size for each domain."""
        for domain in ("source", "target"):
            if getattr(self.transforms, domain).size is None:
                raise ValueError(
                    f"method {self.method.name} needs images of one size; set transforms.{domain}.crop"
                )

    @property
    def inputs(self) -> Mapping[str, Input]:
        """Role -> what it takes from a parent: the method's roles, and images for its source."""
        return {**self.method.inputs, **{key: Input("images", required=True) for key in self.source_outputs}}

    @property
    def outputs(self) -> tuple[OutputName, ...]:
        """What the method's trials make."""
        return self.method.outputs

    @property
    def source_outputs(self) -> tuple[str, ...]:
        """Keys of the parents whose images it trains on."""
        return tuple(source.output for source in self.source if isinstance(source, OutputConfig))

    @property
    def planned_steps(self) -> int | None:
        """How many steps it takes."""
        return self.steps

    @property
    def first_steps(self) -> int:
        """Steps after which every part of a step has been at work once."""
        return RECORDED_AFTER + 1 if self.capture else 1

    @property
    def idle(self) -> list[str]:
        """Settings, with their values, that its steps never reach: options that would be claimed in vain."""
        contrastive = [] if self.contrastive is None else self.contrastive.idle(self.steps)
        return [*self.method.idle(self.steps), *contrastive]

    @property
    def images_per_step(self) -> int:
        """Of all streams and ranks together."""
        return self.batch_size * len(self.streams)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """What the method may open; loaders yield nothing else."""
        if self.method.target_labels == "optional" and self.uses_target_labels:
            return (*self.method.streams, "target_labelled")
        return self.method.streams

    @property
    def target_subset(self) -> SubsetConfig | None:
        """The target images it opens, parents aside; None where the method opens none."""
        return self.target.subset

    @property
    def uses_target_labels(self) -> bool:
        """Whether any target label is loaded for training."""
        return self.target.labelled is not None
