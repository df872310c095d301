"""EMA teacher + ClassMix: self-training on images mixed across domains, the core of DACS and DAFormer.

Papers: DACS (Tranheden et al., WACV 2021), DAFormer (Hoyer et al., CVPR 2022); masked consistency: MIC (Hoyer
et al., CVPR 2023). A teacher, the running average of the student, labels clean target crops. Half of the
source's label values are cut out and pasted on the target crop with their labels, the mixture is jittered and
blurred, and the student learns from it beside the source:

    L = CE(source) + CE_w(mixed) [+ lambda CE_w(masked target)] [+ CE(labelled target)]

    w = 1 on source pixels, q on target pixels; q = share of target pixels with teacher probability >= 0.968

Kept: alpha_t = min(1 - 1/(t+1), alpha) on parameters alone (batch-norm statistics are the teacher's own; it
runs in training mode without dropout); one q for a whole batch and no threshold per pixel; 255 may be drawn
and pasted; means are over all pixels, ignored ones add 0 but stay in the denominator; the source itself is
not strongly augmented. DAFormer's choices are defaults (alpha 0.999, values from the whole batch's labels),
DACS's are options (0.99, `values_from: image`). Warm-up, AdamW and rare-class sampling belong to the trial,
not to the method; the pseudo-label crop and masked consistency (its own jitter, mean colour where masked,
the same labels and q) are options here.

Different: q and the values present are those of the global batch, so that N ranks equal one (the releases
take them per GPU); every image decides on its own whether it is jittered and blurred (there: the batch);
jitter is torchvision's, where kornia's old one adds brightness and scales contrast about black; a model with
an auxiliary head learns every term with lambda_aux. Left out: DAFormer's feature distance, which needs a
second, frozen ImageNet encoder, and its new draw of source crops that one class fills.

With `target.labelled` it is semi-supervised: labelled target images add a supervised term, and only the
others are pseudo-labelled and pasted on.

Published recipe (DAFormer): optimizer {name: adamw, lr: 6.0e-5} (heads: times 10), schedule {name: linear,
warmup_steps: 1500, warmup_start: 0.0}, 40 000 steps, batch size 2, crops of 512 x 512 from GTA5 at 1280 x 720
and Cityscapes at 1024 x 512, rare_class_sampling: {}, pseudo_label_crop: {}.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from segda_core.config import EmaClassMixConfig, TrialConfig
from segda_core.data.sampling import method_generator
from segda_core.errors import DataError
from segda_core.losses import class_probabilities, segmentation_losses
from segda_core.methods.base import (
    Batch,
    DomainBatch,
    Prepared,
    SegmenterMethod,
    SegmenterUpdate,
    Tensors,
    Update,
    labelled,
)
from segda_core.models.base import Logits, Segmenter
from segda_core.training import ema
from segda_core.training.mixing import (
    LABEL_VALUES,
    Sample,
    choose_half,
    paste,
    patches_kept,
    pixels_of,
    values_present,
    without_margins,
)
from segda_core.training.photometric import draw_parameters, strong_augmentation
from segda_core.transfer import moved


class EmaClassMixUpdate(SegmenterUpdate):
    """Losses `source`, `mixed`, where configured `masked` and `labelled`, and each one's `_aux`."""

    def __init__(self, segmenter: Segmenter, config: TrialConfig) -> None:
        super().__init__(segmenter, config)
        assert isinstance(config.method, EmaClassMixConfig)
        self.options = config.method

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Learn the source, the mixture and what else is configured."""
        images, labels = labelled(batch.source)
        assert batch.target is not None
        source = Sample(images, labels, torch.ones(labels.shape, device=labels.device))
        target = self._pseudo_labelled(batch.target, prepared)
        samples = {"source": source, "mixed": self._mixed(source, target, prepared)}
        if self.options.masked is not None:
            samples["masked"] = self._masked(target, prepared)
        if batch.target_labelled is not None:
            images, labels = labelled(batch.target_labelled)
            samples["labelled"] = Sample(images, labels, torch.ones(labels.shape, device=labels.device))
        each = self.segmenter.each_at_image_size(*(sample.images for sample in samples.values()))
        losses: Tensors = {}
        for (name, sample), logits in zip(samples.items(), each, strict=True):
            losses |= self._losses(name, logits, sample, prepared)
        return losses, {}

    def _losses(self, name: str, logits: Logits, sample: Sample, prepared: Prepared) -> Tensors:
        """Shares of weighted means over all pixels."""
        losses = segmentation_losses(
            name,
            logits,
            sample.labels,
            prepared.counts["pixels"],
            self.options.lambda_aux,
            weights=sample.weights,
        )
        if name == "masked" and self.options.masked is not None:
            return {key: self.options.masked.lambda_masked * loss for key, loss in losses.items()}
        return losses

    def _pseudo_labelled(self, domain: DomainBatch, prepared: Prepared) -> Sample:
        """The clean target with the teacher's labels, every pixel weighing q or nothing."""
        pseudo_labels = prepared.tensors["pseudo_labels"]
        q = prepared.counts["confident"] / prepared.counts["pixels"]
        weights = q.expand(pseudo_labels.shape)
        if (crop := self.options.pseudo_label_crop) is not None:
            weights = without_margins(weights, *crop.rows(weights.shape[1]))
        return Sample(domain.images, pseudo_labels, weights)

    def _mixed(self, source: Sample, target: Sample, prepared: Prepared) -> Sample:
        present = values_present(source.labels)
        if self.options.values_from == "batch":
            present = (prepared.counts["values"] > 0).expand_as(present)
        chosen = choose_half(present, prepared.tensors["values"])
        mixed = paste(pixels_of(chosen, source.labels), source, target)
        images = strong_augmentation(mixed.images, prepared.tensors["mixed_augmentation"])
        return Sample(images, mixed.labels, mixed.weights)

    def _masked(self, target: Sample, prepared: Prepared) -> Sample:
        """The augmented target with most patches hidden behind the mean colour, 0 once normalised."""
        assert self.options.masked is not None
        images = strong_augmentation(target.images, prepared.tensors["masked_augmentation"])
        kept = patches_kept(prepared.tensors["patches"], self.options.masked.ratio, images.shape[2:])
        return Sample(torch.where(kept, images, self.segmenter.mean), target.labels, target.weights)


class EmaClassMix(SegmenterMethod):
    """Unlabelled, or with `target.labelled` semi-supervised, adaptation by mixing."""

    def __init__(self, config: TrialConfig, segmenter: Segmenter) -> None:
        super().__init__(config, segmenter)
        assert isinstance(config.method, EmaClassMixConfig)
        self.options = config.method
        self.teacher = ema.make_teacher(segmenter)

    @property
    def evaluated(self) -> Segmenter:
        """Teacher or student."""
        return self.teacher if self.config.evaluation.network == "teacher" else self.segmenter

    def networks(self) -> Mapping[str, nn.Module]:
        """The student and its teacher."""
        return {"segmenter": self.segmenter, "teacher": self.teacher}

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """Pseudo labels, what q and the choice of values are made from, and every draw of the step."""
        images, labels = labelled(batch.source)
        assert batch.target is not None
        if images.shape != batch.target.images.shape:
            sizes = [
                f"{width}x{height}" for height, width in (images.shape[2:], batch.target.images.shape[2:])
            ]
            raise DataError(
                f"source images of {sizes[0]}, target of {sizes[1]}: set transforms.*.crop to one size"
            )
        probabilities = class_probabilities(self.teacher.at_image_size(batch.target.images).main)
        confidence, pseudo_labels = probabilities.max(dim=1)
        counts = {
            "pixels": torch.full((), float(labels.numel()), device=labels.device),
            "confident": (confidence >= self.options.threshold).sum().float(),
            "values": values_present(labels).sum(dim=0),
        }
        draws = self._draws(batch.indices, step, images)
        return Prepared(counts=counts, tensors={"pseudo_labels": pseudo_labels, **draws})

    def updates(self) -> list[Update]:
        """One: the student's."""
        return [EmaClassMixUpdate(self.segmenter, self.config)]

    def after_step(self, step: int) -> None:
        """The teacher follows the student."""
        ema.follow(self.teacher, self.segmenter, ema.decay(step, self.options.alpha))

    def _draws(self, indices: tuple[int, ...], step: int, images: Tensor) -> Tensors:
        """Each sample's random numbers, from seed, step and its place in the global batch alone."""
        height, width = images.shape[2:]
        patch = None if self.options.masked is None else self.options.masked.patch
        drawn: dict[str, list[np.ndarray]] = {}
        for index in indices:
            rng = method_generator(self.config.seed, step, index)
            numbers = {
                "values": rng.random(LABEL_VALUES),
                "mixed_augmentation": draw_parameters(rng, self.options.strong),
                "masked_augmentation": draw_parameters(rng, self.options.strong),
            }
            if patch is not None:
                numbers["patches"] = rng.random((max(1, round(height / patch)), max(1, round(width / patch))))
            for name, values in numbers.items():
                drawn.setdefault(name, []).append(values)
        return {name: _on(images.device, np.stack(values)) for name, values in drawn.items()}


def _on(device: torch.device, values: np.ndarray) -> Tensor:
    """As float32 on the device, which is not waited for."""
    return moved(torch.from_numpy(values).float(), device)
