"""Projections from the segmenter's deepest features to the spaces that contrastive levels compare in."""

from torch import Tensor, nn
from torch.nn import functional

from segda_core.config import ContrastiveConfig
from segda_core.contrast.histograms import pooled


class Heads(nn.Module):
    """One projection for each level that is switched on."""

    def __init__(self, channels: int, config: ContrastiveConfig) -> None:
        super().__init__()
        self.config = config
        if config.image is not None:
            self.image = _projection(channels, config.dimension)
        if config.region is not None:
            self.region = _projection(channels, config.dimension)
        if config.prototype is not None:
            self.prototype = nn.Sequential(
                nn.Conv2d(channels, channels, 1),
                nn.ReLU(),
                nn.Conv2d(channels, config.prototype_dimension, 1),
            )

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Unit vectors of features (batch, channels, h, w).

        `image` (batch, d), `region` (batch, regions, d), `prototype` (batch, D, h, w).
        """
        config = self.config
        embeddings = {}
        if config.image is not None:
            embeddings["image"] = self.image(features.mean(dim=(2, 3)))
        if config.region is not None:
            embeddings["region"] = self.region(pooled(features, config.region.grid))
        if config.prototype is not None:
            embeddings["prototype"] = self.prototype(features)
        dims = {"image": 1, "region": 2, "prototype": 1}
        return {
            level: functional.normalize(each.float(), dim=dims[level]) for level, each in embeddings.items()
        }


def _projection(channels: int, dimension: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, dimension))
