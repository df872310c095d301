"""Configuration: defaults frozen under a version, what equal trials have in common, what identifies one."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from segda_core import config as module
from segda_core.classes import CLASSES
from segda_core.config import (
    CONFIG_VERSION,
    METHOD_CONFIGS,
    NOT_IN_IDENTITY,
    Frozen,
    Profile,
    TrialConfig,
    canonical,
    identity,
)
from segda_core.errors import ConfigError, parse
from segda_core.trials import tasks

FROZEN = Path(__file__).with_name("frozen_defaults.json")


def frozen_now() -> dict[str, Any]:
    """Everything that a hash does not show because it is a default or a preset."""
    found = {**vars(module), **vars(tasks)}.values()
    models = [item for item in found if isinstance(item, type) and issubclass(item, Frozen)]
    defaults = {
        f"{model.__name__}.{name}": field.default.model_dump(mode="json")
        if isinstance(field.default, Frozen)
        else field.default
        for model in models
        if model not in (Frozen, Profile)
        for name, field in model.model_fields.items()
        if not field.is_required() and NOT_IN_IDENTITY not in field.metadata
    }
    presets = {name: protocol.model_dump(mode="json") for name, protocol in module.PROTOCOLS.items()}
    published = {"-".join(key): value for key, value in module.ADVERSARIAL_WEIGHTS.items()}
    current = {
        "defaults": defaults,
        "presets": presets,
        "published": published,
        "streams": {name: method.streams for name, method in METHOD_CONFIGS.items()},
    }
    return dict(json.loads(json.dumps(current)))


def test_no_default_changes_without_a_new_config_version() -> None:
    """A changed default means other results under the same hash: raise CONFIG_VERSION, then store anew.

    `python tests/segda_core/test_config.py` writes the file.
    """
    stored = json.loads(FROZEN.read_text())
    assert stored.pop("config_version") == CONFIG_VERSION
    assert stored == frozen_now()


CROPS = {domain: {"crop": [8, 8]} for domain in ("source", "target")}
"""Images of one size, which translation needs."""


def trial(**changes: Any) -> dict[str, Any]:
    return {
        "data": {"name": "toy", "domains": {"a": {"layout": "gta5", "root": "a"}}},
        "source": [{"name": "a"}],
        "target": {"name": "a"},
        "model": {"name": "tiny"},
        "method": {"name": "adaptsegnet"},
        "steps": 3,
        "evaluation": {"size": [64, 32]},
        **changes,
    }


def resolved(**changes: Any) -> TrialConfig:
    return parse(TrialConfig, trial(**changes), "test")


def test_methods_that_require_labels_open_labelled_images() -> None:
    for settings in METHOD_CONFIGS.values():
        assert ("target_labelled" in settings.streams) == (settings.target_labels == "required")


@pytest.mark.parametrize("method", list(METHOD_CONFIGS))
def test_a_written_config_reads_back_as_itself(method: str) -> None:
    config = resolved(method={"name": method}, transforms=CROPS)
    assert parse(TrialConfig, config.model_dump(mode="json"), "test") == config


@pytest.mark.parametrize("method", list(METHOD_CONFIGS))
def test_canonical_is_stable(method: str) -> None:
    once = canonical(trial(method={"name": method}, transforms=CROPS))
    assert canonical(once) == once


def test_source_only_has_no_target_subset_and_no_target_transforms() -> None:
    config = resolved(
        method={"name": "source_only"},
        target={"name": "a", "subset": {"size": 10, "seed": 3}},
        transforms={"source": {"crop": [8, 8]}, "target": {"crop": [4, 4]}},
    )
    assert config.target.subset is None and config.target.labelled is None and not config.uses_target_labels
    assert config.transforms.target.crop is None and config.transforms.source.crop == (8, 8)
    assert config.streams == ("source",)


def test_supervised_has_no_source() -> None:
    config = resolved(method={"name": "supervised"}, transforms={"source": {"mirror": False}})
    assert config.source == () and config.transforms.source.mirror
    assert config.uses_target_labels


@pytest.mark.parametrize(
    ("target", "size", "labelled"),
    [
        ({}, "all", "all"),
        ({"subset": {"size": 40}}, 40, 40),
        ({"subset": {"size": 40}, "labelled": {}}, 40, 40),
        ({"subset": {"size": 40}, "labelled": {"size": "all"}}, 40, 40),
        ({"subset": {"size": 40}, "labelled": {"size": 10}}, 40, 10),
        ({"labelled": {"size": 10}}, "all", 10),
        ({"subset": None}, "all", "all"),
    ],
)
def test_required_target_labels_default_to_the_whole_subset(
    target: dict[str, Any], size: Any, labelled: Any
) -> None:
    config = resolved(method={"name": "joint"}, target={"name": "a", **target})
    assert config.target.subset is not None and config.target.labelled is not None
    assert (config.target.subset.size, config.target.labelled.size) == (size, labelled)


def test_the_first_images_do_not_depend_on_the_subset_seed() -> None:
    one = resolved(target={"name": "a", "subset": {"pick": "first", "seed": 1}})
    other = resolved(target={"name": "a", "subset": {"pick": "first", "seed": 2}})
    assert one == other


def test_identity_leaves_out_defaults_and_what_does_not_change_a_result() -> None:
    plain = identity(resolved())
    assert "optimizer" not in plain and "precision" not in plain
    moved = trial(data={"name": "toy", "domains": {"a": {"layout": "gta5", "root": "/elsewhere"}}})
    same = [
        parse(TrialConfig, moved, "test"),
        resolved(workers=3),
        resolved(log_every=1),
        resolved(checkpoint={"every": 7}),
        resolved(evaluation={"size": [64, 32], "every": 5}),
        resolved(precision="fp32", optimizer={"name": "sgd", "lr": 2.5e-4}),
    ]
    assert all(identity(config) == plain for config in same)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"steps": 4},
        {"batch_size": 4},
        {"ranks": 2},
        {"micro_batches": 2},
        {"threads": 2},
        {"precision": "bf16"},
        {"optimizer": {"name": "adamw"}},
        {"optimizer": {"name": "sgd", "lr": 2.6e-4}},
        {"model": {"name": "tiny", "norm": "batch"}},
        {"evaluation": {"size": [64, 32], "protocol": "mirror"}},
        {"evaluation": {"size": [64, 32], "classes": ["road"]}},
        {"target": {"name": "a", "subset": {"size": 10}}},
        {"data": {"name": "toy", "version": 2, "domains": {"a": {"layout": "gta5", "root": "a"}}}},
        {"source": [{"name": "a", "holdout": 0.1}]},
        {"schedule": {"warmup_steps": 1}},
        {"clip_norm": 1.0},
    ],
)
def test_whatever_changes_a_result_changes_identity(changes: dict[str, Any]) -> None:
    assert identity(resolved(**changes)) != identity(resolved())


def test_classes_are_a_set() -> None:
    one = resolved(evaluation={"size": [64, 32], "classes": ["car", "road", "car"]})
    assert one.evaluation.classes == ("road", "car")
    assert one == resolved(evaluation={"size": [64, 32], "classes": ["road", "car"]})
    whole = resolved(evaluation={"size": [64, 32], "classes": list(reversed(CLASSES))})
    assert identity(whole) == identity(resolved())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation": {"size": [64, 32], "classes": []}}, "evaluation.classes.*at least 1 entries"),
        ({"model": {"name": "deeplabv2_resnet101", "dilations": []}}, "dilations.*at least 1 entries"),
        ({"optimizer": {"name": "adamw", "betas": [0.9, 1.0]}}, r"optimizer.betas\[1\].*less than 1"),
        ({"optimizer": {"name": "sgd", "momentum": 0.0, "nesterov": True}}, "nesterov needs a momentum"),
    ],
)
def test_what_could_only_fail_later_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolved(**changes)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"name": "adaptsegnet"}, "adaptsegnet needs an auxiliary head.*set method.levels to single"),
        ({"name": "mrnet"}, "mrnet needs an auxiliary head"),
        ({"name": "pseudo_label"}, "pseudo_label needs an auxiliary head"),
    ],
)
def test_methods_with_two_heads_refuse_a_model_with_one_by_name(method: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolved(model={"name": "deeplabv3plus_resnet101"}, method=method)
    assert "which model deeplabv3plus_resnet101 does not have" in str(caught.value)


def test_protocols_with_two_heads_refuse_a_model_with_one_by_name() -> None:
    model, method = {"name": "deeplabv3plus_resnet101"}, {"name": "adaptsegnet", "levels": "single"}
    assert resolved(model=model, method=method).model.name == "deeplabv3plus_resnet101"
    with pytest.raises(ConfigError, match=r"evaluation.protocol p_mr needs an auxiliary head, which model"):
        resolved(model=model, method=method, evaluation={"size": [64, 32], "protocol": "p_mr"})


@pytest.mark.parametrize("method", list(METHOD_CONFIGS))
def test_contrastive_is_an_option_of_every_method_that_trains_a_segmenter(method: str) -> None:
    changes = {"method": {"name": method}, "transforms": CROPS, "contrastive": {"image": {}}}
    if method != "cyclegan":
        assert resolved(**changes).contrastive
        return
    with pytest.raises(
        ConfigError, match="contrastive needs a method that trains a segmenter; cyclegan does"
    ):
        resolved(**changes)


def target_of(height: int, crop: dict[str, float], **target: Any) -> TrialConfig:
    """A trial of ema_classmix with margins, and crops or resized target images that high."""
    sizes = {domain: target or {"crop": [512, height]} for domain in ("source", "target")}
    return resolved(method={"name": "ema_classmix", "pseudo_label_crop": crop}, transforms=sizes)


def test_margins_that_leave_no_row_of_pseudo_labels_are_refused() -> None:
    assert target_of(136, {}).method.pseudo_label_crop.rows(136) == (15, 120)
    with pytest.raises(ConfigError, match=r"15 rows at the top and 120 at the bottom of .* 135 rows high"):
        target_of(135, {})
    with pytest.raises(ConfigError, match=r"60 rows at the top and 80 at the bottom.*shares of the height"):
        target_of(100, {"top": 0.6, "bottom": 80})
    with pytest.raises(ConfigError, match="which leaves none"):
        target_of(64, {}, resize=[128, 64])
    zoomed = {"resize": [128, 64], "scale": [1.0, 4.0]}  # no crop: their height is not known yet
    assert target_of(64, {}, **zoomed).transforms.target.size is None


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        resolved().steps = 4


def test_published_adversarial_weights_fill_in_what_is_not_given() -> None:
    given = resolved(
        method={"name": "adaptsegnet", "levels": "multi", "gan": "lsgan", "lambda_adv_main": 0.5}
    )
    assert isinstance(given.method, module.AdaptSegNetConfig)
    assert given.method.weights == (0.1, 0.002, 0.5)


if __name__ == "__main__":
    FROZEN.write_text(json.dumps({"config_version": CONFIG_VERSION, **frozen_now()}, indent=1) + "\n")
