"""Students: learning a finished teacher's predictions of the target, beside the labelled source.

No paper: the "student" of the notes, taken apart. Their student starts from an adapted model and is given
more target images, labelled by a DeepLabV3+ that was trained on all of Cityscapes' labels; but the trainer
that ran ignores target labels. So there are three, to be compared:

    student_more_images      the adapted model's own method goes on, on more images      (in `mrnet.py`)
    student_selftrain        the adapted model labels the target and goes on with these labels
    student_oracle_teacher   a model trained with target labels labels it: no unsupervised adaptation

    L = CE(source, y) + lambda_target CE(target, argmax teacher(target)),   each CE(main) + lambda_aux CE(aux)

The teacher is frozen, in evaluation mode, and sees the student's own crop; its main head alone labels, an
auxiliary one is not fused. Each mean is over the labelled pixels of the whole batch; with `threshold`, target
pixels of lower confidence are ignored. Labels made once and for all, at full size and with several passes,
are the task `pseudo_label`'s, and are learnt without the source by the method of that name.
"""

from segda_core.classes import IGNORE_INDEX
from segda_core.config import StudentConfig, TrialConfig
from segda_core.losses import class_probabilities, two_domain_losses
from segda_core.methods.base import (
    Batch,
    Prepared,
    SegmenterMethod,
    SegmenterUpdate,
    Tensors,
    Update,
    labelled,
    valid_pixels,
)
from segda_core.models.base import Segmenter


class StudentUpdate(SegmenterUpdate):
    """Losses `source`, `source_aux`, `target` and `target_aux`."""

    def __init__(self, segmenter: Segmenter, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, StudentConfig)
        self.lambda_aux = config.method.lambda_aux
        self.lambda_target = config.method.lambda_target

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """The source's labels, and the teacher's of the target."""
        assert batch.target is not None
        images, labels = labelled(batch.source)
        source, target = self.segmenter.each_at_image_size(images, batch.target.images)
        target_labels = prepared.tensors["labels"]
        losses = two_domain_losses(
            (source, labels), (target, target_labels), prepared.counts, self.lambda_target, self.lambda_aux
        )
        return losses, {}


class Student(SegmenterMethod):
    """One student of one teacher."""

    def __init__(self, config: TrialConfig, segmenter: Segmenter, teacher: Segmenter) -> None:
        """`teacher` is a parent's network, frozen."""
        super().__init__(config, segmenter)
        assert isinstance(config.method, StudentConfig)
        self.threshold = config.method.threshold
        self.teacher = teacher

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """The teacher's labels, and both domains' labelled pixels."""
        assert batch.target is not None
        logits = self.teacher.at_image_size(batch.target.images).main
        confidence, labels = class_probabilities(logits).max(dim=1)
        if self.threshold is not None:
            labels = labels.masked_fill(confidence < self.threshold, IGNORE_INDEX)
        counts = {"source": valid_pixels(batch.source), "target": (labels != IGNORE_INDEX).sum().float()}
        return Prepared(counts=counts, tensors={"labels": labels})

    def updates(self) -> list[Update]:
        """One: the segmenter's."""
        return [StudentUpdate(self.segmenter, self.config)]
