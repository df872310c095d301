"""The control with wrong label distributions: the same numbers, and none where it belongs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from trials import small_config

from segda_core.contrast.memory import Memory
from segda_core.contrast.shuffled import region_origins

BATCH, COLUMNS, ROWS = 4, 4, 2
REGIONS = COLUMNS * ROWS
OPTIONS = {"image": {}, "region": {"grid": [COLUMNS, ROWS]}, "dimension": 3}


def memory(histograms, seed=0):
    contrastive = {**OPTIONS, "histograms": histograms}
    config = small_config(Path("nowhere"), "adaptsegnet", contrastive=contrastive, seed=seed)
    return Memory(config).double()


@pytest.fixture(scope="module")
def counts():
    """A global batch of both domains, all of its distributions different."""
    generator, counts = np.random.default_rng(3), {}
    for domain in ("source", "target"):
        counts[f"contrast_{domain}_numbers"] = np.arange(BATCH)
        for part, shape in (("image", (BATCH,)), ("region", (BATCH, REGIONS))):
            begins = f"contrast_{domain}_{part}"
            counts[f"{begins}_shares"] = generator.dirichlet(np.ones(19), shape)
            counts[f"{begins}_usable"] = generator.integers(2, size=shape)
            counts[f"{begins}_keys"] = generator.normal(size=(*shape, 3))
    return {name: torch.from_numpy(values) for name, values in counts.items()}


def origins(counts, domain, part, histograms="shuffled", step=0, seed=0):
    """Where each distribution handed on was measured, found by its values; all else is in its place."""
    own = memory(histograms, seed)
    own.add(counts, step)
    given = own._entries(counts, domain, part)
    begins = f"contrast_{domain}_{part}"
    true = counts[f"{begins}_shares"].flatten(0, -2)
    same = (given["shares"][:, None] == true).all(dim=2)
    assert (same.sum(dim=1) == 1).all()
    found = same.int().argmax(dim=1)
    assert torch.equal(given["usable"], counts[f"{begins}_usable"].flatten()[found] > 0)
    assert torch.equal(given["keys"], counts[f"{begins}_keys"].flatten(0, -2))
    assert given["numbers"].tolist() == np.repeat(np.arange(BATCH), len(true) // BATCH).tolist()
    return found.numpy()


@pytest.mark.parametrize("domain", ["source", "target"])
def test_images_get_whole_distributions_of_other_images(counts, domain):
    assert origins(counts, domain, "image", "weighted").tolist() == [0, 1, 2, 3]
    assert origins(counts, domain, "image").tolist() == [3, 0, 1, 2]


@pytest.mark.parametrize("domain", ["source", "target"])
def test_no_region_keeps_its_image_or_its_place(counts, domain):
    there = np.arange(BATCH * REGIONS)
    assert (origins(counts, domain, "region", "weighted") == there).all()
    for step in range(5):
        found = origins(counts, domain, "region", step=step)
        assert sorted(found) == there.tolist()
        assert (found // REGIONS != there // REGIONS).all() and (found % REGIONS != there % REGIONS).all()


def test_the_order_follows_from_seed_step_and_domain(counts):
    orders = [
        tuple(origins(counts, domain, "region", step=step, seed=seed))
        for domain, step, seed in (("source", 0, 0), ("target", 0, 0), ("source", 1, 0), ("source", 0, 1))
    ]
    assert len(set(orders)) == 4 and orders[0] == tuple(origins(counts, "source", "region"))


def test_regions_of_one_row_are_no_longer_those_with_distributions_of_one_row():
    """Which is what makes two regions alike: 3 of 7 other places are in one row, 4 in the other."""
    rng, together = np.random.default_rng(0), []
    for _ in range(200):
        rows = region_origins(2, REGIONS, rng).numpy().reshape(2, ROWS, COLUMNS) % REGIONS // COLUMNS
        together += [rows[0, row, :, None] == rows[1, row] for row in range(ROWS)]
    assert np.mean(together) == pytest.approx((3 / 7) ** 2 + (4 / 7) ** 2, abs=0.03)


def test_the_only_image_keeps_no_region_in_its_place():
    rng = np.random.default_rng(0)
    for regions in (2, 8):
        found = region_origins(1, regions, rng).numpy()
        assert sorted(found) == list(range(regions)) and (found != np.arange(regions)).all()
    assert region_origins(3, 1, rng).tolist() == [2, 0, 1]
