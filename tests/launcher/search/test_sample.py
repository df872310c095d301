"""Random search: its points follow from seed, number and path alone."""

import math
from typing import Any

from launcher.search.config import SearchConfig
from launcher.search.sample import probes, random_points

SPACE = {
    "optimizer.lr": {"loguniform": [1e-4, 1e-1]},
    "optimizer.weight_decay": {"uniform": [0.0, 0.5]},
    "batch_size": {"int": [1, 4]},
    "method": {"choice": [{"name": "joint"}, {"name": "source_only"}]},
}


def search(**changes: Any) -> SearchConfig:
    return SearchConfig.model_validate({"space": SPACE, "trials": 400, **changes})


def test_a_point_does_not_depend_on_how_many_there_are_or_on_other_dimensions() -> None:
    points = random_points(search())
    assert random_points(search(trials=3)) == points[:3]
    fewer = {path: SPACE[path] for path in ("optimizer.lr", "batch_size")}
    assert random_points(search(space=fewer, trials=3)) == [
        {path: point[path] for path in fewer} for point in points[:3]
    ]
    assert random_points(search(seed=1, trials=3)) != points[:3]


def test_the_first_points_are_these_on_every_machine_and_python() -> None:
    assert random_points(search(trials=2)) == [
        {
            "optimizer.lr": 0.000276237,
            "optimizer.weight_decay": 0.455695,
            "batch_size": 1,
            "method": {"name": "source_only"},
        },
        {
            "optimizer.lr": 0.000754666,
            "optimizer.weight_decay": 0.00929987,
            "batch_size": 1,
            "method": {"name": "joint"},
        },
    ]


def test_values_are_spread_as_the_space_says() -> None:
    points = random_points(search())
    assert all(search().holds(point) for point in points)
    decades = [math.floor(math.log10(point["optimizer.lr"])) for point in points]
    assert all(80 < decades.count(decade) < 190 for decade in (-4, -3, -2)), "a third each"
    low = sum(point["optimizer.weight_decay"] < 0.25 for point in points)
    assert 150 < low < 250, "half of them"
    assert {point["batch_size"] for point in points} == {1, 2, 3, 4}
    assert 150 < sum(point["method"] == {"name": "joint"} for point in points) < 250


def test_probes_have_both_ends_and_every_choice() -> None:
    found = list(probes(search()))
    for path, values in {
        "optimizer.lr": [1e-4, 1e-1],
        "batch_size": [1, 4],
        "method": SPACE["method"]["choice"],
    }.items():
        assert all(any(point[path] == value for point in found) for value in values)
