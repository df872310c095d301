from itertools import pairwise
from pathlib import Path

import pytest

from segda_core.config import SubsetConfig
from segda_core.data.index import ImageRecord
from segda_core.data.subset import pick_subset, source_split
from segda_core.errors import DataError

NAMES = [f"city/{number:04}" for number in range(240)]


def records(names: list[str]) -> list[ImageRecord]:
    return [ImageRecord(name, Path(name), None) for name in names]


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("pick", ["random", "first"])
def test_nested_for_one_seed(seed, pick):
    chosen = [pick_subset(NAMES, SubsetConfig(size=size, pick=pick, seed=seed)) for size in (1, 10, 40, 160)]
    for smaller, larger in pairwise(chosen):
        assert larger[: len(smaller)] == smaller
    assert len(set(chosen[-1])) == 160


def test_independent_of_order_on_disk():
    config = SubsetConfig(size=40, seed=3)
    assert pick_subset(NAMES, config) == pick_subset(NAMES[::-1], config)


def test_removing_an_image_moves_no_other():
    config = SubsetConfig(size="all", seed=3)
    kept = [name for name in pick_subset(NAMES, config) if name != "city/0007"]
    assert pick_subset([name for name in NAMES if name != "city/0007"], config) == kept


def test_seeds_differ_and_cover():
    zero, one = (set(pick_subset(NAMES, SubsetConfig(size=120, seed=seed))) for seed in (0, 1))
    assert 40 < len(zero & one) < 80
    assert pick_subset(NAMES, SubsetConfig(size=10)) != NAMES[:10]


def test_this_subset_never_changes():
    assert pick_subset(NAMES, SubsetConfig(size=4)) == ["city/0200", "city/0131", "city/0022", "city/0027"]


def test_first_is_the_sorted_list():
    assert pick_subset(NAMES[::-1], SubsetConfig(size=3, pick="first", seed=9)) == NAMES[:3]


def test_more_than_the_pool_says_both_numbers():
    with pytest.raises(DataError, match=r"241.*240"):
        pick_subset(NAMES, SubsetConfig(size=241))
    assert sorted(pick_subset(NAMES, SubsetConfig(size="all"))) == NAMES


def test_holdout_share_is_by_names_alone():
    train, held_out = source_split(records(NAMES), 0.25)
    assert len(held_out) == 60
    assert sorted([*train, *held_out], key=lambda record: record.name) == records(NAMES)
    _, again = source_split(records(NAMES[::-1]), 0.25)
    assert {record.name for record in again} == {record.name for record in held_out}


def test_holdout_names():
    train, held_out = source_split(records(NAMES[:4]), {NAMES[1], NAMES[3]})
    assert [record.name for record in train] == [NAMES[0], NAMES[2]]
    assert [record.name for record in held_out] == [NAMES[1], NAMES[3]]
    assert source_split(records(NAMES), None) == (records(NAMES), [])
    with pytest.raises(DataError, match="leaves none of 4 source images"):
        source_split(records(NAMES[:4]), set(NAMES))
