"""TPE: a function of what is known, better than chance where there is something to find."""

import math
from typing import Any

from launcher.search.config import SearchConfig
from launcher.search.known import Known
from launcher.search.sample import random_points
from launcher.search.tpe import propose

SPACE = {"optimizer.lr": {"loguniform": [1e-5, 1.0]}, "method": {"choice": [{"name": "a"}, {"name": "b"}]}}


def search(**changes: Any) -> SearchConfig:
    raw = {"space": SPACE, "trials": 40, "algorithm": "tpe", **changes}
    return SearchConfig.model_validate(raw)


def quality(point: dict[str, Any]) -> float:
    """Best at lr 1e-2 with method b."""
    distance = abs(math.log10(point["optimizer.lr"]) + 2) + (point["method"]["name"] == "a")
    return 1 / (1 + distance)


def test_a_proposal_follows_from_what_is_known() -> None:
    known: list[Known] = []
    for _ in range(14):
        point = propose(search(), known)
        assert point is not None and point == propose(search(), known), "no state is kept"
        known.append(Known(point, quality(point)))
    other = [Known(each.point, 1 - (each.miou or 0.0)) for each in known]
    assert propose(search(), known) != propose(search(), other)
    assert propose(search(seed=1), known) != propose(search(), known)


def test_it_beats_random_search_on_a_plain_hill() -> None:
    known: list[Known] = []
    for _ in range(40):
        point = propose(search(), known)
        assert point is not None and search().holds(point)
        known.append(Known(point, quality(point)))
    late = [each.miou or 0.0 for each in known[20:]]
    chance = [quality(point) for point in random_points(search(trials=400))]
    assert sum(late) / len(late) > 1.3 * sum(chance) / len(chance)


def test_running_stopped_and_failed_trials_count_too() -> None:
    done = [
        Known({"optimizer.lr": 10.0**-number, "method": {"name": "b"}}, 0.1 * number) for number in (1, 2)
    ]
    running = Known({"optimizer.lr": 1e-3, "method": {"name": "a"}})
    stopped = Known({"optimizer.lr": 1e-4, "method": {"name": "a"}}, None, {10: 0.05, 20: 0.06})
    point = propose(search(), [*done, running, stopped])
    assert point is not None and search().holds(point)


def test_a_space_of_few_values_comes_to_an_end() -> None:
    few = search(space={"seed": {"int": [0, 2]}})
    known: list[Known] = []
    while point := propose(few, known):
        known.append(Known(point, 0.5))
    assert sorted(each.point["seed"] for each in known) == [0, 1, 2]
