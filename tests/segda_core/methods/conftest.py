"""Trials of the tiny model at 64 x 32, and one optimizer step as the engine runs it, written out by hand."""

from dataclasses import dataclass, replace
from typing import get_args

import pytest
import torch

from segda_core.config import METHOD_CONFIGS, Stream, TrialConfig
from segda_core.methods import METHODS
from segda_core.methods.base import Batch, DomainBatch, SegmenterMethod
from segda_core.methods.contrastive import Contrastive
from segda_core.models import build_segmenter

HEIGHT, WIDTH = 32, 64


@dataclass
class Trial:
    """A method ready to run, with its updates."""

    method: object
    updates: list

    def prepare(self, batches, step=0):
        """What `prepare` made of each micro-batch, with the sums of all."""
        with torch.no_grad():
            prepared = [self.method.prepare(batch, step) for batch in batches]
            counts = {name: sum(each.counts[name] for each in prepared) for name in prepared[0].counts}
            self.method.before_step(counts, step)
        return [replace(own, counts=counts, share=1 / len(batches)) for own in prepared]

    def backward(self, batches, step=0, bf16=False):
        """Losses by update and name, summed over the micro-batches; leaves the gradients in place."""
        losses = {}
        autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)
        with autocast:
            prepared = self.prepare(batches, step)
        for batch, ready in zip(batches, prepared, strict=True):
            carried = {}
            for update in self.updates:
                with autocast:
                    shares, carried = update(batch, ready, carried, step)
                sum(shares.values()).backward()
                for name, share in shares.items():
                    key = f"{update.name}/{name}"
                    losses[key] = losses.get(key, 0) + share.item()
        return losses

    def gradients(self):
        """The gradient of every trained parameter by name, None where there is none."""
        networks = self.method.networks().items()
        named = ((f"{key}.{name}", p) for key, net in networks for name, p in net.named_parameters())
        return {name: parameter.grad for name, parameter in named if parameter.requires_grad}

    def step(self):
        for update in self.updates:
            update.optimizer.step()
            update.schedule.step()


@pytest.fixture(scope="session")
def build():
    """(method options, norm, and other settings) -> Trial, always with the same initial weights."""

    def build_trial(
        norm="batch",
        labelled=None,
        network="student",
        batch_size=2,
        contrastive=None,
        schedule=None,
        **method,
    ):
        config = TrialConfig.model_validate(
            {
                "data": {
                    "name": "shapes",
                    "domains": {
                        "render": {"layout": "gta5", "root": "render"},
                        "camera": {"layout": "cityscapes", "root": "camera"},
                    },
                },
                "source": [{"name": "render"}],
                "target": {"name": "camera", "labelled": labelled},
                "model": {"name": "tiny", "width": 8, "norm": norm},
                "method": method,
                "transforms": {key: {"crop": [WIDTH, HEIGHT]} for key in ("source", "target")},
                "steps": 10,
                "batch_size": batch_size,
                "contrastive": contrastive,
                "schedule": schedule or {},
                "evaluation": {"size": [WIDTH, HEIGHT], "network": network},
            },
            strict=False,
        )
        torch.manual_seed(0)
        kind = METHODS[config.method.name]
        given = [build_segmenter(config.model)] if issubclass(kind, SegmenterMethod) else []
        if config.method.learns_from_teacher:
            given.append(build_segmenter(config.model).eval())
        method = kind(config, *given) if contrastive is None else Contrastive(kind(config, *given))
        return Trial(method, method.updates())

    return build_trial


@pytest.fixture
def batches():
    """(method name, number of images, more streams) -> micro-batches of one image, of these streams alone."""

    def make(name, images=2, more=()):
        generator = torch.Generator().manual_seed(1)
        streams = (*METHOD_CONFIGS[name].streams, *more)
        domains = {stream: domain(stream, images, generator) for stream in streams}
        return [
            Batch(**{stream: pick(whole, [i]) for stream, whole in domains.items()}, indices=(i,))
            for i in range(images)
        ]

    return make


@pytest.fixture
def join():
    """Micro-batches -> one batch of all their images."""

    def joined(micro_batches):
        names = [name for name in get_args(Stream) if getattr(micro_batches[0], name) is not None]
        return Batch(
            **{name: concatenate([getattr(batch, name) for batch in micro_batches]) for name in names},
            indices=sum((batch.indices for batch in micro_batches), ()),
        )

    return joined


def domain(stream, images, generator):
    """Random images; labels with unevenly many ignored pixels, except for the unlabelled target."""
    pixels = torch.randint(0, 256, (images, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)
    if stream == "target":
        return DomainBatch(pixels, None)
    labels = torch.randint(0, 19, (images, HEIGHT, WIDTH), generator=generator)
    for index in range(images):
        labels[index, : 4 + 20 * index] = 255
    return DomainBatch(pixels, labels)


def pick(whole, indices):
    labels = None if whole.labels is None else whole.labels[indices]
    return DomainBatch(whole.images[indices], labels, tuple(indices))


def concatenate(parts):
    labels = None if parts[0].labels is None else torch.cat([part.labels for part in parts])
    numbers = sum((part.numbers for part in parts), ())
    return DomainBatch(torch.cat([part.images for part in parts]), labels, numbers)
