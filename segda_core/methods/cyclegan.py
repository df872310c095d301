"""CycleGAN: learning to make source images look like target images, without pairs and without any label.

Paper: Zhu et al., ICCV 2017, arXiv 1703.10593, and its released code. Two generators, one into each domain,
and a discriminator of each domain's images (real: 1, generated: 0; least squares on raw scores). With s, t
images, T(s) a translated source image, S(t) a translated target image:

    L_G   = mean (D_T(T(s)) - 1)^2 + mean (D_S(S(t)) - 1)^2
          + lambda_cycle (|S(T(s)) - s| + |T(S(t)) - t|)
          + lambda_identity lambda_cycle (|T(t) - t| + |S(s) - s|)
    L_D_T = 1/2 [mean (D_T(t) - 1)^2 + mean D_T(p)^2],  p from a pool of 50 earlier T(s); L_D_S alike

Kept: all of that, networks and initialisation (`models/cyclegan.py`), one Adam for both generators, batches
of one image, a learning rate that is constant for the first half and then falls linearly to 0. Generators
step first in the release, and discriminators see what was generated before that step: the same images as
here. Different: the rate falls with steps, not with epochs; the pool is the global batch's, so that N ranks
equal one. For that `prepare` generates the step's images once more without gradients and the engine brings
them together: a tenth of a step's time.

It trains no segmenter: its result is T, which the task `translate` applies to the whole source. T has seen no
more target images than the trial's `target.subset`.

Published recipe for street scenes: GTA5 and Cityscapes at a width of 1024, crops of 400 (CyCADA), 452 (BDL)
or 512 (CUT) a side, batch size 1; 20 epochs are enough (CUT's authors).
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from segda_core.config import CycleGanConfig, OutputName, TrialConfig
from segda_core.data.sampling import method_generator
from segda_core.losses import adversarial_loss
from segda_core.methods.base import Batch, Method, Prepared, Tensors, Update, Used
from segda_core.models.cyclegan import PatchDiscriminator, ResnetGenerator, to_unit
from segda_core.training.optim import linear_decay
from segda_core.training.replay_pool import Draw, ReplayPool

REAL, FAKE = 1.0, 0.0

Domain = Literal["source", "target"]

OTHER: dict[Domain, Domain] = {"source": "target", "target": "source"}
"""An image of a domain is made from one of the other."""

Generators = dict[Domain, ResnetGenerator]
"""By the domain they make images of."""
Discriminators = dict[Domain, PatchDiscriminator]
"""By the domain whose images they know."""
Pools = dict[Domain, ReplayPool]


class GeneratorUpdate(Update):
    """Losses `adversarial_DOMAIN`, `cycle_DOMAIN` and `identity_DOMAIN` of both generators."""

    def __init__(self, generators: Generators, discriminators: Discriminators, config: TrialConfig) -> None:
        super().__init__("generators")
        assert isinstance(config.method, CycleGanConfig)
        self.lambda_cycle = config.method.lambda_cycle
        self.lambda_identity = config.method.lambda_identity * config.method.lambda_cycle
        self.generators = nn.ModuleDict({str(domain): network for domain, network in generators.items()})
        self.discriminators = {domain: Used(network) for domain, network in discriminators.items()}
        self.optimizer = Adam(self.parameters(), lr=config.method.lr, betas=config.method.betas, fused=True)
        self.schedule = linear_decay(self.optimizer, config.method.decay_start, config.steps)

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Images of either domain that pass for real, lead back, and stay what they are if they are of it."""
        real = images_of(batch)
        losses: Tensors = {}
        for domain, other in OTHER.items():
            into, back = self.generators[domain], self.generators[other]
            made = into(real[other])
            losses[f"adversarial_{domain}"] = adversarial_loss(
                self.discriminators[domain](made), REAL, "lsgan"
            )
            losses[f"cycle_{other}"] = self.lambda_cycle * functional.l1_loss(back(made), real[other])
            if self.lambda_identity:
                same = functional.l1_loss(into(real[domain]), real[domain])
                losses[f"identity_{domain}"] = self.lambda_identity * same
        return {name: loss * prepared.share for name, loss in losses.items()}, {}


class DiscriminatorUpdate(Update):
    """Losses `real` and `fake` of one domain's discriminator."""

    def __init__(
        self, domain: Domain, discriminator: PatchDiscriminator, pool: ReplayPool, config: TrialConfig
    ) -> None:
        super().__init__(f"discriminator_{domain}")
        assert isinstance(config.method, CycleGanConfig)
        self.domain = domain
        self.discriminator = discriminator
        self.pool = pool
        self.optimizer = Adam(
            discriminator.parameters(), lr=config.method.lr, betas=config.method.betas, fused=True
        )
        self.schedule = linear_decay(self.optimizer, config.method.decay_start, config.steps)

    def forward(
        self, batch: Batch, prepared: Prepared, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """Tell the domain's own images from what the pool shows."""
        real = adversarial_loss(self.discriminator(images_of(batch)[self.domain]), REAL, "lsgan")
        made = torch.stack([self.pool.shown[place] for place in batch.indices])
        fake = adversarial_loss(self.discriminator(made), FAKE, "lsgan")
        return {"real": real / 2 * prepared.share, "fake": fake / 2 * prepared.share}, {}


class CycleGan(Method):
    """Two generators and two discriminators."""

    def __init__(self, config: TrialConfig) -> None:
        super().__init__(config)
        assert isinstance(config.method, CycleGanConfig)
        options, transforms = config.method, config.transforms
        self.generators: Generators = {
            domain: ResnetGenerator(options.channels, options.blocks) for domain in OTHER
        }
        self.discriminators: Discriminators = {
            domain: PatchDiscriminator(options.discriminator_channels) for domain in OTHER
        }
        sizes = {"source": transforms.target.size, "target": transforms.source.size}
        self.pools: Pools = {}
        for domain in OTHER:  # an image is of the size of the one that it is made from
            size = sizes[domain]
            assert size is not None
            self.pools[domain] = ReplayPool(options.pool, config.batch_size, size)

    def networks(self) -> Mapping[str, nn.Module]:
        """Generators, discriminators, and the pools' images."""
        own: dict[str, nn.Module] = {}
        for domain in OTHER:
            own[f"generator_{domain}"] = self.generators[domain]
            own[f"discriminator_{domain}"] = self.discriminators[domain]
            own[f"pool_{domain}"] = self.pools[domain]
        return own

    def final(self) -> Mapping[OutputName, nn.Module]:
        """What makes target images of source images."""
        return {"generator": self.generators["target"]}

    def prepare(self, batch: Batch, step: int) -> Prepared:
        """This micro-batch's generated images in their places of the global batch, zeros in the others."""
        real = images_of(batch)
        counts = {}
        for domain, other in OTHER.items():
            made = self.generators[domain](real[other])
            places = made.new_zeros(self.config.batch_size, *made.shape[1:])
            for place, image in zip(batch.indices, made, strict=True):
                places[place] = image
            counts[f"made_{domain}"] = places
        return Prepared(counts=counts)

    def before_step(self, counts: Tensors, step: int) -> None:
        """The pools choose what discriminators see, by seed, step and place in the global batch alone."""
        size = self.config.batch_size
        for number, (domain, pool) in enumerate(self.pools.items()):
            draws = [self._draws(step, place)[number] for place in range(size)]
            pool.show(counts[f"made_{domain}"], step * size, draws)

    def updates(self) -> list[Update]:
        """The generators', then one for each discriminator."""
        return [
            GeneratorUpdate(self.generators, self.discriminators, self.config),
            *(
                DiscriminatorUpdate(domain, network, self.pools[domain], self.config)
                for domain, network in self.discriminators.items()
            ),
        ]

    def _draws(self, step: int, place: int) -> list[Draw]:
        """One for each pool."""
        assert isinstance(self.config.method, CycleGanConfig)
        rng = method_generator(self.config.seed, step, place)
        size = self.config.method.pool
        return [Draw(rng.random() < 0.5, int(rng.integers(size))) for _ in self.pools]


def images_of(batch: Batch) -> dict[Domain, Tensor]:
    """Both domains' images in [-1, 1]."""
    assert batch.source is not None
    assert batch.target is not None
    return {"source": to_unit(batch.source.images), "target": to_unit(batch.target.images)}
