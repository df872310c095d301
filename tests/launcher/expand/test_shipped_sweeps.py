from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from launcher.expand.leaks import leaks
from launcher.expand.profile import SHIPPED, load_profile
from launcher.search.adaptive import ends_of_search
from launcher.sweep import expand, load_sweep
from launcher.trial import Trial
from segda_core.config import METHOD_CONFIGS, Profile, SgdConfig, SourceConfig, TrialConfig
from segda_core.errors import load_yaml, parse

PROFILES = sorted((SHIPPED / "data").rglob("*.yaml"))
SWEEPS = sorted(set(SHIPPED.rglob("*.yaml")) - set(PROFILES) - set((SHIPPED / "reference").rglob("*.yaml")))


WHOLE = (2975, 22973)
"""Target images of Cityscapes' train split, and with those the notes' students add."""


def test_all_are_found() -> None:
    assert {"target_size", "smoke", "real_pair"} <= {path.stem for path in SWEEPS}
    assert {"streets", "gta5_cityscapes", "carla_camvid"} <= {path.stem for path in PROFILES}


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_loads_and_has_a_ladder(path: Path) -> None:
    profile = parse(Profile, load_yaml(path), str(path))
    assert load_profile(profile.name, beside=SHIPPED) == (path, profile) and len(profile.ladder) >= 3


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
@pytest.mark.parametrize("data", [None, *(path.stem for path in PROFILES)])
def test_every_sweep_expands_on_every_profile(path: Path, data: str | None) -> None:
    """But for those that name their own profile's domains: on that one alone. No run of the notes takes from
    one that saw more target images."""
    own = load_sweep(str(path)).stages[0].profile
    bound = any(f"{{name: {domain}" in path.read_text() for domain in own.domains)
    if data in (None, own.name) or not bound:
        sweep = load_sweep(str(path), data=data)
        trials = expand(sweep).trials
        assert trials or ends_of_search(sweep)
        assert path.parent.name != "notes" or not leaks(trials)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_option_acts_but_in_the_notes_shortest_run(path: Path) -> None:
    """Which had 10 000 steps, and the released code's start of 15 000."""
    told = [note.partition(":")[0] for note in expand(load_sweep(str(path))).notes if "never acts" in note]
    assert told == (["gc_640x360_b2_d1000"] if path.stem == "notes_target_size" else [])


NOTES = load_yaml(SHIPPED / "reference/gta5_cityscapes.yaml")["notes"]


@pytest.fixture(scope="module")
def trials_of_the_notes() -> dict[str | None, list[Trial]]:
    """By stage: a run of the notes is a stage of its name."""
    found: dict[str | None, list[Trial]] = defaultdict(list)
    for path in SWEEPS:
        if path.parent.name == "notes":
            for trial in expand(load_sweep(str(path))).trials:
                found[trial.stage].append(trial)
    return found


def test_the_notes_have_seventeen_runs_and_one_later_checkpoint() -> None:
    assert len(NOTES) == 17 + 1


@pytest.mark.parametrize("run", NOTES, ids=lambda run: run["name"])
def test_every_run_of_the_notes_is_there_under_its_name(
    run: dict[str, Any], trials_of_the_notes: dict[str | None, list[Trial]]
) -> None:
    """With its steps, protocol and target images; runs on a part of them with the notes' pick and another."""
    trials = trials_of_the_notes[run["name"]]
    configs = [trial.config for trial in trials if isinstance(trial.config, TrialConfig)]
    assert configs and len(configs) == len(trials)
    for config in configs:
        assert config.data.name == "gta5_cityscapes"
        assert config.evaluation.protocol == run["protocol"]
        assert run["steps"] in (None, config.steps)
        assert ("labels" in run["used"] and run["used"] != "pseudo labels") == (
            config.target.labelled is not None
        )
    subsets = [config.target.subset for config in configs if config.target.subset is not None]
    assert len(subsets) == len(configs)
    if (size := run["target_images"]) in WHOLE:
        assert {subset.size for subset in subsets} == {"all"}
    else:
        assert {(subset.size, subset.pick) for subset in subsets} == {(size, "first"), (size, "random")}


GTA, TRANSLATED = ("gta5",), ("cyclegta",)
SHAPES = {
    "deeplabv3plus_resnet101_cityscapes_eval": ((), (769, 769), 4, ("none", "none")),
    "multi_640x360_lsgan_b2": (GTA, (512, 256), 2, ("none", "none")),
    "multi_640x360_lsgan_b1": (GTA, (640, 360), 1, ("none", "none")),
    "GTA_TO_CITY_CO": (GTA, (384, 192), 2, ("none", "none")),
    "gc_640x360_b1": (GTA, (640, 360), 1, ("none", "none")),
    "agc_640x360_b1": (GTA + TRANSLATED, (640, 360), 1, ("none", "none")),
    "aagc_640x360_b2": (TRANSLATED, (640, 360), 2, ("none", "none")),
    "aagc_640x360_b2_multiaug": (TRANSLATED, (640, 360), 2, ("with_invert", "with_invert")),
    "aagc_640x360_b2_student": (TRANSLATED, (640, 360), 2, ("none", "none")),
    "aagc_640x360_b2_student_autoaug": (TRANSLATED, (640, 360), 2, ("with_invert", "none")),
    "gc_640x360_b2_d1000": (GTA, (640, 360), 2, ("none", "none")),
    "aagc_640x360_b2_d1000": (TRANSLATED, (640, 360), 2, ("none", "none")),
    "aagc_640x360_b2_d500": (TRANSLATED, (640, 360), 2, ("none", "none")),
    "cityscapes_seg": ((), (640, 360), 2, ("none", "none")),
    "cityscapes_seg_30000": ((), (640, 360), 2, ("none", "none")),
    "cityscapes_seg_d1000": ((), (640, 360), 2, ("none", "none")),
    "cityscapes_seg_d500": ((), (640, 360), 2, ("none", "none")),
    "cityscapes_seg_d100": ((), (640, 360), 2, ("none", "none")),
}
"""The notes' own bullets: sources, crop, images of a batch, AutoAugment of source and target."""


@pytest.mark.parametrize("run", NOTES, ids=lambda run: run["name"])
def test_runs_of_the_notes_have_their_source_mix_crop_batch_and_augmentation(
    run: dict[str, Any], trials_of_the_notes: dict[str | None, list[Trial]]
) -> None:
    for trial in trials_of_the_notes[run["name"]]:
        config = trial.config
        assert isinstance(config, TrialConfig)
        mix = tuple(each.name if isinstance(each, SourceConfig) else each.output for each in config.source)
        of_source, of_target = config.transforms.source, config.transforms.target
        augmented = of_source.autoaugment, of_target.autoaugment
        assert (mix, of_target.crop, config.batch_size, augmented) == SHAPES[run["name"]]
        assert not mix or of_source.crop == of_target.crop


def test_adaptation_is_repeated_on_every_target_size_by_both_picks() -> None:
    trials = expand(load_sweep(str(SHIPPED / "notes/notes_target_size.yaml"))).trials
    subsets = {
        (subset.size, subset.pick)
        for trial in trials
        if isinstance(trial.config, TrialConfig) and trial.config.method.name == "mrnet"
        if (subset := trial.config.target.subset) is not None
    }
    assert subsets == {("all", "random"), *((n, p) for n in (1000, 500, 100) for p in ("first", "random"))}


def test_the_deeplabv3plus_recipe_is_segmentrons(
    trials_of_the_notes: dict[str | None, list[Trial]],
) -> None:
    for stage in ("deeplabv3plus_resnet101_cityscapes_eval", "deeplabv3plus"):  # and as the oracle's teacher
        (trial,) = trials_of_the_notes[stage]
        config = trial.config
        assert isinstance(config, TrialConfig) and isinstance(config.optimizer, SgdConfig)
        optimizer, target = config.optimizer, config.transforms.target
        assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.02, 0.9, 1e-4)
        assert optimizer.head_lr_multiplier == 10 and not optimizer.nesterov
        assert config.schedule.warmup_steps == 0 and config.schedule.power == 0.9
        assert config.steps == 400 * 2975 // 4 and config.checkpoint.every == 10 * 743
        assert (target.resize, target.scale, target.mirror) == ((2048, 1024), (0.5, 2.0), True)
        assert config.sync_batch_norm and config.seed == 1024


def test_methods_compares_every_method() -> None:
    trials = expand(load_sweep("methods")).trials
    compared = {t.config.method.name for t in trials if isinstance(t.config, TrialConfig)}
    assert compared == METHOD_CONFIGS.keys()


def test_contrastive_holds_the_controls() -> None:
    """METHODS 5.6: without, shuffled, raw, each level alone, source anchors alone; three seeds of each."""
    trials = [trial.config for trial in expand(load_sweep("contrastive")).trials]
    found: dict[object, set[int]] = defaultdict(set)
    for config in trials:
        assert isinstance(config, TrialConfig)
        option = config.contrastive
        levels = [name for name in ("image", "region", "prototype") if option and getattr(option, name)]
        kind = (*levels, option.histograms, option.anchors) if option else None
        found[kind].add(config.seed)
    whole = ("image", "region", "prototype")
    assert found.keys() == {
        None,
        *((level, "weighted", "both") for level in whole),
        *((*whole, histograms, "both") for histograms in ("weighted", "shuffled", "raw")),
        (*whole, "weighted", "source"),
    }
    assert set(map(frozenset, found.values())) == {frozenset({0, 1, 2})}


def test_smoke_covers_every_method_that_needs_no_parent_in_two_steps() -> None:
    trials = expand(load_sweep("smoke")).trials
    needs_parent = {
        name
        for name, method in METHOD_CONFIGS.items()
        if any(taken.required for taken in method.inputs.values())
    }
    assert {trial.config.method.name for trial in trials} == METHOD_CONFIGS.keys() - needs_parent
    assert {trial.config.steps for trial in trials} == {2}


def test_target_size_has_every_method_size_and_seed() -> None:
    expansion = expand(load_sweep("target_size"))
    assert (len(expansion.trials), len(expansion.merged)) == (2 + 4 * 3 * 2, 4)
    sizes = {trial.config.target.subset.size for trial in expansion.trials if trial.config.target.subset}
    assert sizes == {10, 40, 160}
    methods = {
        trial.config.method.name for trial in expansion.trials if isinstance(trial.config, TrialConfig)
    }
    assert methods == {"source_only", "supervised", "joint", "adaptsegnet", "ema_classmix"}
