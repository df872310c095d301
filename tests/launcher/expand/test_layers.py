from typing import Any

import pytest

from launcher.expand.layers import Layer, find_layer, look_up, merge, put


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"name": "sgd", "momentum": 0.5}, {"name": "adamw"}, {"name": "adamw"}),
        (
            {"name": "sgd", "momentum": 0.5},
            {"name": "sgd", "lr": 1},
            {"name": "sgd", "momentum": 0.5, "lr": 1},
        ),
        ({"name": "sgd", "momentum": 0.5}, {"lr": 1}, {"name": "sgd", "momentum": 0.5, "lr": 1}),
        ({"subset": {"size": 3}}, {"name": "camvid"}, {"subset": {"size": 3}, "name": "camvid"}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({}, 3, 3),
    ],
)
def test_merge(lower: Any, upper: Any, expected: Any) -> None:
    assert merge(lower, upper) == expected


def test_put_merges_at_a_path_and_leaves_the_rest_shared_and_whole() -> None:
    raw = {"method": {"name": "joint", "lambda_aux": 0.2}, "target": {"name": "a"}}
    changed = put(raw, ["method", "lambda_target"], 2.0)
    assert changed["method"] == {"name": "joint", "lambda_aux": 0.2, "lambda_target": 2.0}
    assert raw["method"] == {"name": "joint", "lambda_aux": 0.2}
    assert changed["target"] is raw["target"]
    assert put(raw, ["method"], {"name": "supervised"})["method"] == {"name": "supervised"}
    assert put(raw, ["target", "subset", "size"], 3)["target"] == {"name": "a", "subset": {"size": 3}}
    assert put({"steps": 3}, ["steps", "x"], 1) == {"steps": {"x": 1}}


def test_the_highest_layer_that_gives_a_value_is_found() -> None:
    base = Layer("base", "s.yaml", "base", (), {"optimizer": {"lr": 1, "momentum": 2}})
    axis = Layer("grid", "s.yaml", "grid.optimizer.lr", ("optimizer", "lr"), 3, index=1)
    layers = (base, axis)
    assert find_layer(layers, ("optimizer", "lr")) is axis
    assert find_layer(layers, ("optimizer", "momentum")) is base
    assert find_layer(layers, ("steps",)) is None


def test_locations_are_as_the_user_wrote_them() -> None:
    method = Layer("grid", "s.yaml", "grid.method", ("method",), {"name": "joint"}, index=2)
    assert method.location(("method", "levls")) == "grid.method[2].levls"
    assert method.location(("method",)) == "grid.method[2]"
    assert method.location(("method",), of_key=True) == "grid.method"
    deep = Layer("grid", "s.yaml", "grid.optimizr.lr", ("optimizr", "lr"), 1, index=0)
    assert deep.location(("optimizr",)) == "grid.optimizr.lr"
    source = Layer("zip", "s.yaml", "zip[1].source", ("source",), [{"name": "a"}])
    assert source.location(("source", 0, "name")) == "zip[1].source[0].name"
    setting = Layer("--set", "--set", "optimizer", ("optimizer",), {"lr": 1})
    assert setting.location(("optimizer", "lr")) == "optimizer.lr"


def test_look_up_follows_keys_and_positions() -> None:
    assert look_up({"a": [{"b": 1}]}, ("a", 0, "b")) == 1
    for path in [("a", 1), ("a", 0, "c"), ("a", 0, "b", "d"), ("x",)]:
        with pytest.raises(KeyError):
            look_up({"a": [{"b": 1}]}, path)
