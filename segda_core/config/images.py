"""Where images lie, which of them a trial opens, and what happens to them before training."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from segda_core.config.base import LIST, NOT_IN_IDENTITY, Frozen, Size

MadeName = Literal["streets"]
"""Images that segda draws itself."""


class Domain(Frozen):
    """Where the images of one domain lie and how they are laid out."""

    layout: Literal["gta5", "cityscapes"]
    """gta5: `images/`, `labels/`. cityscapes: `leftImg8bit/SPLIT/CITY/`, `gtFine/SPLIT/CITY/`."""
    root: str
    """Folder; `${NAME:-default}` is taken from the environment where it trains, ~ is the home folder."""
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
    make: MadeName | None = None
    """Images that segda can make itself where they are missing."""
    trial: dict[str, Any] = Field(default={})
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
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


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
    min_values: Annotated[int, Field(ge=0, le=20)] = 0
    """A labelled crop is drawn anew until its label shows so many values, that of ignored pixels counted; the
    tenth is taken as it is (Seg-Uncertainty's source: 11); 0: the first is."""
    mirror: bool = True
    """Left-right flip with probability 0.5."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of random brightness, contrast and saturation: factors from [1-jitter, 1+jitter]."""
    blur: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability of Gaussian blur with a standard deviation from U(0.15, 1.15) pixels (DACS)."""
    autoaugment: AutoAugmentPolicy = "none"
    """ImageNet's AutoAugment without operations that move pixels, as Seg-Uncertainty's `--autoaug`, on the
    whole image; the published list contains invert, which street scenes never look like."""

    @property
    def size(self) -> Size | None:
        """(width, height) of every image afterwards; None where images keep their own."""
        return self.crop or (self.resize if self.scale == (1.0, 1.0) else None)


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
