"""Pairs of images and of regions, worked out again from the batch and the queues one by one, in NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from trials import small_config

from segda_core.contrast.memory import Memory, Queue

BATCH, STEPS = 4, 14
OPTIONS = {
    "image": {"source_queue": 40, "target_queue": 24, "positives": 2, "min_negatives": 17},
    "region": {"positives": 2, "min_negatives": 24},
    "dimension": 8,
}


def streets(generator, count):
    """(count, 19) shares: classes 0 to 2 in every image, 3 in nine of ten, 4 in two of three, and up to three
    of the others, one a little below 0.1 %, one a little above. The first image shows no class but 0 to 3,
    the second little more, so that it is like others with which it shares no rare class.
    """
    shares = np.zeros((count, 19))
    for number, one in enumerate(shares):
        below, above, more = generator.choice(np.arange(5, 19), 3, replace=False)
        some = [*range(4 if generator.random() < 0.9 else 3)]
        if number == 1:
            some += [4] if generator.random() < 0.7 else []
        elif number > 1:
            some += [4, more]
        one[below], one[above] = (0.0009, 0.0011) if number else (0, 0)
        one[some] = 0.01 + generator.dirichlet(np.ones(len(some))) * (1 - one.sum() - 0.01 * len(some))
    return shares


def parts(generator, shape):
    """Shares of regions: two or three classes, and one about as large as the least that counts.

    One shows a class of its own, and little of one that others show.
    """
    shares = np.zeros((*shape, 19))
    for place in np.ndindex(shape):
        some = generator.choice(18, 4, replace=False)
        shares[place][some[0]] = generator.uniform(0.02, 0.08)
        shares[place][some[1:]] = generator.dirichlet(np.ones(3)) * (1 - shares[place].sum())
    shares[0, 0] = 0.04 * np.eye(19)[17] + 0.96 * np.eye(19)[18]
    return shares


def counts_of(generator, step):
    """A global batch; images of both domains have the same numbers, which come again three steps later."""
    counts = {}
    for domain in ("source", "target"):
        part = f"contrast_{domain}"
        counts[f"{part}_numbers"] = np.arange(BATCH) + BATCH * (step % 3)
        counts[f"{part}_image_shares"] = streets(generator, BATCH)
        counts[f"{part}_image_usable"] = (generator.random(BATCH) < 0.8).astype(float)
        counts[f"{part}_region_shares"] = parts(generator, (BATCH, 8))
        counts[f"{part}_region_usable"] = (generator.random((BATCH, 8)) < 0.8).astype(float)
        for level, shape in (("image", (BATCH, 8)), ("region", (BATCH, 8, 8))):
            counts[f"{part}_{level}_keys"] = generator.normal(size=shape)
    return counts


@pytest.fixture(scope="module")
def steps():
    """(each step's counts, a memory in double precision that took them all in)."""
    generator = np.random.default_rng(9)
    memory = Memory(small_config(Path("nowhere"), "adaptsegnet", contrastive=OPTIONS)).double()
    counts = [counts_of(generator, step) for step in range(STEPS)]
    for step, each in enumerate(counts):
        memory.add(tensors(each), step)
    return counts, memory


def tensors(counts):
    return {name: torch.from_numpy(values) for name, values in counts.items()}


def one_minus_divergence(p, q):
    def entropy(distribution):
        return -sum(x * np.log2(x) for x in distribution if x > 0)

    return 1 - (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)


def chosen(anchor, keys, level):
    """(weights, negatives, crossed) of one anchor: by place among the keys, and whether domains were crossed:
    the most similar were of the anchor's own, and one of the other took the last place.
    """
    weights, negatives = np.zeros(len(keys)), np.zeros(len(keys), dtype=bool)
    alike = {
        place: one_minus_divergence(anchor["histogram"], key["histogram"])
        for place, key in enumerate(keys)
        if anchor["usable"]
        and key["usable"]
        and (key["domain"], key["number"]) != (anchor["domain"], anchor["number"])
    }
    if not alike:
        return weights, negatives, False
    best, worst = (np.quantile(list(alike.values()), share) for share in (0.95, 0.3))
    apart = {place for place in alike if anchor["classes"] and keys[place]["classes"]} - {
        place for place in alike if anchor["classes"] & keys[place]["classes"]
    }
    fit = sorted((place for place in alike if alike[place] >= best and place not in apart), key=alike.get)
    positives = fit[::-1][: level.positives]
    guests = [place for place in fit if keys[place]["domain"] != anchor["domain"]]
    crossed = bool(guests) and not set(guests) & set(positives)
    if crossed:
        positives[-1] = guests[-1]
    for place in positives:
        weights[place] = alike[place] / sum(alike[each] for each in positives)
    for place in set(alike) - set(positives):
        negatives[place] = place in apart or alike[place] <= worst
    return weights, negatives, crossed


def assert_pairs(pairs, anchors, keys, level):
    """Equal to what plain loops choose; [(domains were crossed, the anchor counts)]."""
    seen = []
    for row, anchor in enumerate(anchors):
        weights, negatives, crossed = chosen(anchor, keys, level)
        counts = weights.any() and negatives.sum() >= level.min_negatives
        assert pairs.weights[row].tolist() == pytest.approx(weights.tolist(), abs=1e-9)
        assert pairs.negatives[row].tolist() == negatives.tolist()
        assert pairs.counted[row] == counts
        seen.append((crossed, counts))
    return seen


def image_entries(shares, usable, numbers, domain, seen):
    """By METHODS 5.1 from the source crops seen, (number, 19) shares of the usable ones."""
    showing = (seen >= 0.001).sum(axis=0)
    rarity = np.maximum(np.log(len(seen) / (1 + showing)), 0) + 0.01
    entries = []
    for own, use, number in zip(shares, usable, numbers, strict=True):
        histogram = np.log(1 + 100 * own) * rarity
        rare = {c for c in range(19) if own[c] >= 0.001 and showing[c] < 0.8 * len(seen)}
        histogram = histogram / max(histogram.sum(), 1e-6)
        entry = {"histogram": histogram, "classes": rare, "usable": bool(use)}
        entries.append({**entry, "number": int(number), "domain": domain})
    return entries


def test_pairs_of_images_are_those_of_plain_loops(steps):
    counts, memory = steps
    seen = np.concatenate(
        [each["contrast_source_image_shares"][each["contrast_source_image_usable"] > 0] for each in counts]
    )
    keys = []
    for domain, queue in memory.queues.items():
        newest = [number for each in counts for number in each[f"contrast_{domain}_numbers"]][-queue.size :]
        assert sorted(queue.numbers.tolist()) == sorted(newest)
        keys += image_entries(queue.shares.numpy(), queue.usable, queue.numbers, domain, seen)
    crossed_and_counted = []
    for domain in ("source", "target"):
        last = {part: counts[-1][f"contrast_{domain}_{part}"] for part in ("image_shares", "image_usable")}
        numbers = counts[-1][f"contrast_{domain}_numbers"]
        anchors = image_entries(*last.values(), numbers, domain, seen)
        level = memory.options.image
        pairs = memory.image_pairs(domain, tensors(counts[-1]), memory.image_keys(), level)
        crossed_and_counted += assert_pairs(pairs, anchors, keys, level)
    assert [set(each) for each in zip(*crossed_and_counted, strict=True)] == [{True, False}] * 2


def test_pairs_of_regions_are_those_of_plain_loops(steps):
    counts, memory = steps
    entries = {"source": [], "target": []}
    for domain, image in np.ndindex(2, BATCH):
        domain = list(entries)[domain]
        part = f"contrast_{domain}"
        for region in range(8):
            shares = counts[-1][f"{part}_region_shares"][image, region]
            entry = {"histogram": shares, "classes": {c for c in range(19) if shares[c] >= 0.05}}
            entry["usable"] = bool(counts[-1][f"{part}_region_usable"][image, region])
            entries[domain].append(
                {**entry, "number": counts[-1][f"{part}_numbers"][image], "domain": domain}
            )
    own, level = tensors(counts[-1]), memory.options.region
    keys, crossed_and_counted = memory.region_keys(own), []
    assert keys["keys"][8 * BATCH + 8 + 3].tolist() == own["contrast_target_region_keys"][1, 3].tolist()
    for domain, anchors in entries.items():
        pairs = memory.region_pairs(domain, own, keys, level)
        crossed_and_counted += assert_pairs(pairs, anchors, entries["source"] + entries["target"], level)
    assert [set(each) for each in zip(*crossed_and_counted, strict=True)] == [{True, False}] * 2


def test_a_queue_forgets_the_oldest():
    queue = Queue(5, 1)
    for step in range(3):
        values = torch.tensor([2.0 * step, 2.0 * step + 1])
        entries = {"keys": values[:, None], "shares": values[:, None].expand(2, 19), "numbers": values.long()}
        queue.push(step, {**entries, "usable": values >= 0})
    assert (
        queue.numbers.tolist() == [5, 1, 2, 3, 4] == queue.keys[:, 0].tolist() == queue.shares[:, 3].tolist()
    )
    assert queue.is_full(3, 2) and not queue.is_full(2, 2)
