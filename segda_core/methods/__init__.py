"""Methods by the name a sweep gives them."""

from segda_core.methods.adaptsegnet import AdaptSegNet
from segda_core.methods.base import Method
from segda_core.methods.cyclegan import CycleGan
from segda_core.methods.ema_classmix import EmaClassMix
from segda_core.methods.joint import Joint
from segda_core.methods.mrnet import MRNet
from segda_core.methods.pseudo_label import PseudoLabel
from segda_core.methods.source_only import SourceOnly
from segda_core.methods.student import Student
from segda_core.methods.supervised import Supervised

METHODS: dict[str, type[Method]] = {
    "source_only": SourceOnly,
    "supervised": Supervised,
    "joint": Joint,
    "adaptsegnet": AdaptSegNet,
    "ema_classmix": EmaClassMix,
    "mrnet": MRNet,
    "pseudo_label": PseudoLabel,
    "cyclegan": CycleGan,
    "student_more_images": MRNet,
    "student_selftrain": Student,
    "student_oracle_teacher": Student,
}
