"""The published recipes, and what the notes' runs change of them, written out a second time."""

from collections import defaultdict
from typing import Any

import pytest

from launcher.expand.profile import SHIPPED
from launcher.sweep import expand, load_sweep
from launcher.trial import Trial
from segda_core.config import AdaptSegNetConfig, TrialConfig
from segda_core.trials.tasks import TranslateConfig

SGD = {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "head_lr_multiplier": 10.0}
MRNET_TRUNK = {"batch_norm": "train_stats_frozen_affine", "trunk_lr_multiplier": 1.0, "align_corners": True}
DISCRIMINATOR = {"lr": 1e-4, "betas": (0.9, 0.99)}
BALANCE = {"max_weight": 7.0, "small_class_pixels": 64 * 64, "momentum": 0.9}
TARGET = {"resize": (1024, 512), "scale": (1.0, 1.0), "min_values": 0, "mirror": False}

ON_MRNETS_NETWORK: dict[str, Any] = {
    "model": {"name": "deeplabv2_mrnet_resnet101", "dropout": 0.1, **MRNET_TRUNK},
    "optimizer": {**SGD, "lr": 2e-4, "nesterov": True},
    "schedule": {
        "name": "poly",
        "power": 0.9,
        "length": 250_000,
        "warmup_steps": 5000,
        "warmup_start": 0.1,
    },
    "transforms": {
        "source": {"resize": (1280, 720), "scale": (0.8, 1.2), "min_values": 11, "mirror": True},
        "target": TARGET,
    },
    "evaluation": {"protocol": "p_mr", "network": "student"},
    "contrastive": None,
    "rare_class_sampling": None,
    "micro_batches": 1,
}
MEMORY_REGULARISATION: dict[str, Any] = {
    "lambda_aux": 0.5,
    "lambda_adv_aux": 0.0002,
    "lambda_adv_main": 0.001,
    "lambda_mr": 0.1,
    "mr_start": 15_000,
    "lambda_entropy": 0.0,
    "hard_percentile": 80.0,
    "class_balance": BALANCE,
    "channels": 32,
    "lambda_penalty": 0.01,
    "discriminator": DISCRIMINATOR,
}
MRNET = {**ON_MRNETS_NETWORK, "method": {"name": "mrnet", **MEMORY_REGULARISATION}}
MORE_IMAGES = {**MRNET, "method": {"name": "student_more_images", **MEMORY_REGULARISATION}}
SELF_TRAINED, OF_AN_ORACLE = (
    {**MRNET, "method": {"name": name, "threshold": None, "lambda_target": 1.0, "lambda_aux": 0.5}}
    for name in ("student_selftrain", "student_oracle_teacher")
)
SEGMENTATION: dict[str, Any] = {
    **ON_MRNETS_NETWORK,
    "transforms": {"target": TARGET},
    "method": {"name": "supervised", "lambda_aux": 0.5, "class_balance": BALANCE, "hard_percentile": 80.0},
}
ADAPTSEGNET: dict[str, Any] = {
    "model": {"name": "deeplabv2_resnet101", "dilations": (6, 12, 18, 24), **MRNET_TRUNK},
    "optimizer": {**SGD, "lr": 2.5e-4, "nesterov": False},
    "schedule": {"name": "poly", "power": 0.9, "length": 250_000, "warmup_steps": 0},
    "evaluation": {"protocol": "p_asn"},
}
MULTI_LEAST_SQUARES: dict[str, Any] = {
    **ADAPTSEGNET,
    "method": {
        "name": "adaptsegnet",
        "levels": "multi",
        "gan": "lsgan",
        "channels": 64,
        "discriminator": DISCRIMINATOR,
    },
    "transforms": {
        "source": {"resize": (1280, 720), "scale": (0.8, 1.2), "min_values": 0, "mirror": False},
        "target": TARGET,
    },
}
TRANSLATOR: dict[str, Any] = {
    "source": ({"name": "gta5", "holdout": None},),
    "steps": 500_000,  # 20 epochs of 24 966 images
    "batch_size": 1,
    "method": {
        "name": "cyclegan",
        "channels": 64,
        "blocks": 9,
        "discriminator_channels": 64,
        "lambda_cycle": 10.0,
        "lambda_identity": 0.5,
        "pool": 50,
        "lr": 2e-4,
        "betas": (0.5, 0.999),
        "decay_start": None,
    },
    "transforms": {
        "source": {"resize": (1024, 563), "scale": (1.0, 1.0), "crop": (452, 452), "mirror": True},
        "target": {"resize": (1024, 512), "scale": (1.0, 1.0), "crop": (452, 452), "mirror": True},
    },
}
ELSEWHERE = {"deeplabv3plus_resnet101_cityscapes_eval", "deeplabv3plus"}
"""SegmenTron's recipe: test_shipped_sweeps.py."""

RECIPES: dict[str, dict[str, Any]] = {
    "translator": TRANSLATOR,
    **dict.fromkeys(("multi_640x360_lsgan_b2", "multi_640x360_lsgan_b1"), MULTI_LEAST_SQUARES),
    **dict.fromkeys(("GTA_TO_CITY_CO", "gc_640x360_b1", "agc_640x360_b1", "aagc_640x360_b2"), MRNET),
    **dict.fromkeys(("aagc_640x360_b2_multiaug", "aagc_640x360_b2_multiaug_without_invert"), MRNET),
    **dict.fromkeys(("gc_640x360_b2_d1000", "aagc_640x360_b2_d2975", "aagc_640x360_b2_d1000"), MRNET),
    **dict.fromkeys(("aagc_640x360_b2_d500", "aagc_640x360_b2_d100"), MRNET),
    **dict.fromkeys(("aagc_640x360_b2_student", "aagc_640x360_b2_student_autoaug"), MORE_IMAGES),
    "student_selftrain": SELF_TRAINED,
    "student_oracle_teacher": OF_AN_ORACLE,
    **dict.fromkeys(("cityscapes_seg", "cityscapes_seg_30000", "cityscapes_seg_d1000"), SEGMENTATION),
    **dict.fromkeys(("cityscapes_seg_d500", "cityscapes_seg_d100"), SEGMENTATION),
}


def part(whole: Any, like: Any) -> Any:
    """Of nested settings those that another has."""
    return {key: part(whole[key], like[key]) for key in like} if isinstance(like, dict) else whole


@pytest.fixture(scope="module")
def notes() -> dict[str, list[Trial]]:
    """The notes' trials by stage."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for path in sorted((SHIPPED / "notes").glob("*.yaml")):
        for trial in expand(load_sweep(str(path))).trials:
            found[str(trial.stage)].append(trial)
    return found


def test_every_run_of_the_notes_has_a_recipe(notes: dict[str, list[Trial]]) -> None:
    assert notes.keys() == RECIPES.keys() | ELSEWHERE | {"cyclegta"}


@pytest.mark.parametrize("stage", RECIPES)
def test_runs_of_the_notes_follow_their_recipe(stage: str, notes: dict[str, list[Trial]]) -> None:
    for trial in notes[stage]:
        assert part(trial.config.model_dump(), RECIPES[stage]) == RECIPES[stage]


def test_the_notes_least_squares_start_from_what_the_authors_suggest(notes: dict[str, list[Trial]]) -> None:
    for stage in ("multi_640x360_lsgan_b2", "multi_640x360_lsgan_b1"):
        for trial in notes[stage]:
            assert isinstance(trial.config, TrialConfig)
            assert isinstance(trial.config.method, AdaptSegNetConfig)
            assert trial.config.method.weights == (0.1, 0.002, 0.01)


def test_whole_images_are_translated_at_the_size_of_training(notes: dict[str, list[Trial]]) -> None:
    for trial in notes["cyclegta"]:
        assert isinstance(trial.config, TranslateConfig)
        assert trial.config.size == (1024, 563)
        assert [source.name for source in trial.config.source] == ["gta5"]


WHOLE = {"scale": (1.0, 1.0), "crop": None, "mirror": False, "autoaugment": "none"}
AS_RELEASED: dict[str, Any] = {
    **ADAPTSEGNET,
    "model": {**ADAPTSEGNET["model"], "dilations": (6, 12), "trunk_lr_multiplier": 3.0},
    "steps": 150_000,
    "batch_size": 1,
    "evaluation": {"protocol": "p_asn", "every": 5000},
    "checkpoint": {"every": 5000},
}
SOURCE_ONLY: dict[str, Any] = {
    **AS_RELEASED,
    "method": {"name": "source_only", "lambda_aux": 0.1},
    "transforms": {"source": {**WHOLE, "resize": (1280, 720)}},
}
ON_BOTH: dict[str, Any] = {
    **AS_RELEASED,
    "method": {"name": "adaptsegnet", "channels": 64, "discriminator": DISCRIMINATOR},
    "transforms": {**SOURCE_ONLY["transforms"], "target": {**WHOLE, "resize": (1024, 512)}},
}

LEVELS_AND_LOSSES = {
    ("single", "bce", 0.0, 0.0, 0.001),
    ("single", "lsgan", 0.0, 0.0, 0.01),
    ("multi", "bce", 0.1, 0.0002, 0.001),
    ("multi", "bce", 0.1, 0.00005, 0.0005),
    ("multi", "lsgan", 0.1, 0.002, 0.01),
}
"""With lambda_aux, lambda_adv_aux and lambda_adv_main."""


def test_adaptsegnet_has_every_released_variant_on_whole_images() -> None:
    configs = [trial.config for trial in expand(load_sweep("adaptsegnet")).trials]
    methods = [config.method for config in configs if isinstance(config, TrialConfig)]
    found = [
        (method.levels, method.gan, *method.weights)
        for method in methods
        if isinstance(method, AdaptSegNetConfig)
    ]
    assert set(found) == LEVELS_AND_LOSSES and len(found) == len(LEVELS_AND_LOSSES)
    assert len(configs) == len(methods) == len(found) + 1
    for config, method in zip(configs, methods, strict=True):
        recipe = SOURCE_ONLY if method.name == "source_only" else ON_BOTH
        assert part(config.model_dump(), recipe) == recipe
