import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from launcher.commands.schema import profile_schema, sweep_schema, write_schemas
from launcher.expand.profile import SHIPPED
from segda_core.errors import load_yaml
from sweeps import TOY_PROFILE

SWEEP = Draft202012Validator(sweep_schema())
PROFILE = Draft202012Validator(profile_schema())


def shipped(folder: str) -> list[Path]:
    return sorted((SHIPPED / folder).glob("*.yaml"))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for item in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from objects(item)


def test_the_schemas_are_valid_and_the_shipped_ones_are_up_to_date(tmp_path: Path) -> None:
    Draft202012Validator.check_schema(sweep_schema())
    Draft202012Validator.check_schema(profile_schema())
    for path in write_schemas(tmp_path):
        stored = SHIPPED / "schema" / path.name
        assert stored.read_text() == path.read_text(), "run `segda schema`"


@pytest.mark.parametrize(
    "path", [*shipped("."), *shipped("data"), *shipped("notes")], ids=lambda path: path.name
)
def test_shipped_files_name_their_schema_and_pass_it(path: Path) -> None:
    modeline = path.read_text().splitlines()[0]
    assert modeline.startswith("# yaml-language-server: $schema=")
    schema = json.loads((path.parent / modeline.partition("=")[2]).read_text())
    assert list(Draft202012Validator(schema).iter_errors(load_yaml(path))) == []


def test_any_part_of_a_trial_may_stand_in_base() -> None:
    for base in (
        {},
        {"optimizer": {"lr": 0.1}},
        {"target": {"subset": {"seed": 3}}},
        {"evaluation": {"protocol": "full"}},
    ):
        assert list(SWEEP.iter_errors({"name": "a", "base": base})) == []
    whole = ("SlurmConfig", "RayConfig", "StageFile", "SearchConfig", "AshaConfig")
    parts = {name: part for name, part in sweep_schema()["$defs"].items() if name not in whole}
    demands = [item["required"] for item in objects(parts) if isinstance(item.get("required"), list)]
    assert demands == []


@pytest.mark.parametrize(
    "content",
    [
        "base: {stesp: 3}",
        "base: {steps: many}",
        "base: {method: {name: joint, levels: multi}}",
        "base: {optimizer: {lr: -1}}",
        "grid: {optimizr.lr: [1]}",
        "grid: {optimizer.lr: 1}",
        "grid: {optimizer.lr: [fast]}",
        "grid: {method.name: [jiont]}",
        "grid: {method.discriminator.lr: [-1]}",
        "grid: {seed: ladder}",
        "grid: {seed: []}",
        "zip: [{seed: x}]",
        "executor: {name: slrum}",
        "bsae: {}",
    ],
)
def test_the_sweep_schema_refuses_mistakes(content: str) -> None:
    assert list(SWEEP.iter_errors({"name": "a", **yaml.safe_load(content)})) != []


@pytest.mark.parametrize(
    "content",
    [
        "grid: {target.subset.size: ladder}",
        "grid: {target.subset.size: [10, all]}",
        "grid: {method.name: [joint, adaptsegnet], method.discriminator.lr: [0.1], model.norm: [group]}",
        "grid: {method: [{name: joint}, {name: adaptsegnet, discriminator: {lr: 0.5}}]}",
        "zip: [{seed: 1, transforms.source.crop: [64, 32]}]",
        "exclude: [{method: joint, target.subset.size: 10}]",
    ],
)
def test_the_sweep_schema_takes_what_expands(content: str) -> None:
    assert list(SWEEP.iter_errors({"name": "a", **yaml.safe_load(content)})) == []


def test_the_profile_schema() -> None:
    assert list(PROFILE.iter_errors(TOY_PROFILE)) == []
    assert list(PROFILE.iter_errors({**TOY_PROFILE, "domains": {"a": {"layout": "gta5"}}})) != []
    assert list(PROFILE.iter_errors({**TOY_PROFILE, "trial": {"modle": {}}})) != []
